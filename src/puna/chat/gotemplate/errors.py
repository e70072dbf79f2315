"""What can go wrong with a Go template: it cannot be read, or it cannot be carried out."""

from puna.errors import Invalid


class BadTemplate(Invalid):
    """A template is not one, or fails on the values that it was given; the text is Go's own."""

    code = "bad_template"


class TemplateTooCostly(BadTemplate):
    """A template went on for too long, wrote too much or called itself too deeply."""

    code = "template_too_costly"


class NotAFunction(Exception):
    """`call` was given something else; the message is its type."""


class CallFailed(Exception):
    """A function refused its arguments; the template adds the place and raises `BadTemplate`."""
