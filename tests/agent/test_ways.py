"""Which way an agent dials its gateway, as it learns what its network lets out."""

from puna.agent.ways import Way, Ways


def test_ssh_comes_first_and_a_websocket_where_it_fails() -> None:
    assert Ways().to_try() == (Way.SSH, Way.WEBSOCKET)


def test_behind_a_proxy_the_websocket_comes_first() -> None:
    assert Ways(is_proxied=True).to_try() == (Way.WEBSOCKET, Way.SSH)


def test_a_market_without_websockets_is_dialled_by_ssh_alone() -> None:
    assert Ways(has_socket=False).to_try() == (Way.SSH,)


def test_a_way_that_worked_is_kept_to() -> None:
    ways = Ways()
    assert ways.worked(Way.WEBSOCKET)
    assert not ways.worked(Way.WEBSOCKET)
    assert ways.to_try() == (Way.WEBSOCKET,)


def test_a_market_that_starts_again_changes_no_way() -> None:
    ways = Ways()
    ways.worked(Way.SSH)
    ways.failed()
    ways.failed()
    assert ways.to_try() == (Way.SSH,)


def test_a_way_that_fails_for_long_is_not_the_only_one_any_more() -> None:
    ways = Ways()
    ways.worked(Way.SSH)
    for _ in range(3):
        ways.failed()
    assert ways.to_try() == (Way.SSH, Way.WEBSOCKET)
    ways.worked(Way.WEBSOCKET)
    assert ways.to_try() == (Way.WEBSOCKET,)
