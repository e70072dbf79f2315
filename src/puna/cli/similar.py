"""Names that a person may have meant."""

from difflib import get_close_matches

_NEAR = 0.5


def near_names(model: str, names: tuple[str, ...]) -> list[str]:
    """Return names that a person may have meant, the nearest first."""
    by_lower = {name.lower(): name for name in names} | {
        name.lower().removesuffix(":latest"): name for name in names
    }
    found = get_close_matches(model.lower(), list(by_lower), n=5, cutoff=_NEAR)
    return list(dict.fromkeys(by_lower[name] for name in found))[:3]
