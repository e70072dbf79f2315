'''What a person types as one message, which `"""` stretches over several lines.'''

_FENCE = '"""'
_SET_SYSTEM = "/set system "


def is_open(text: str) -> bool:
    '''Tell whether `text` begins with `"""`, perhaps after `/set system`, and has not ended.'''
    body = _body(text)
    return body is not None and not body.rstrip().endswith(_FENCE)


def without_fence(text: str) -> str:
    '''Return `text` without the `"""` around it.'''
    body = text.removeprefix(_FENCE)
    if body == text:
        return text
    ended = body.rstrip()
    return ended.removesuffix(_FENCE) if ended.endswith(_FENCE) else body


def _body(text: str) -> str | None:
    """Return what follows the opening fence; none if there is no fence."""
    start = text.removeprefix(_SET_SYSTEM).lstrip() if text.startswith(_SET_SYSTEM) else text
    return start.removeprefix(_FENCE) if start.startswith(_FENCE) else None
