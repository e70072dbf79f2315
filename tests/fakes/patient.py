"""A server whose clients wait at its door, and are not sent away when several come at once."""

from http.server import ThreadingHTTPServer


class PatientServer(ThreadingHTTPServer):
    """Takes as many connections at once as clients make: the library's own takes five.

    On a busy machine the sixth is dropped, and asked for again a second later, and then three: a
    client that has less patience finds nobody.
    """

    daemon_threads = True
    request_queue_size = 128
