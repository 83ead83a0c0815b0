"""The two ends of a journey that nobody has chosen yet: places with an address, and a word about those without."""

from __future__ import annotations

from flannelviz.errors import UnknownPlaceError
from flannelviz.model import INTERNET
from flannelviz.network import Network
from flannelviz.views.text import short_place


def places_of(network: Network, what: str) -> list[str]:
    """Return the pods, then the nodes and other ECS.

    Raises: UnknownPlaceError if there is none; `what` says what becomes of that.
    """
    found = [*network.pods, *network.ecs_places()]
    if not found:
        raise UnknownPlaceError(f"this network has no pod and no node, so {what}; build it further first")
    return found


def first_sender(network: Network, places: list[str]) -> str:
    """Return the first place with an address, else the first of all."""
    return next((place for place in places if network.address(place) is not None), places[0])


def first_receiver(network: Network, places: list[str], source: str) -> str:
    """Return the first place with an address on another machine than `source`, else any other; else the Internet."""
    here = _machine(network, source)
    found = [place for place in places if place != source and network.address(place) is not None]
    return next((place for place in found if _machine(network, place) != here), next(iter(found), INTERNET))


def _machine(network: Network, place: str) -> str:
    pod = network.pods.get(place)
    return (pod.node or place) if pod else place


def without_address(network: Network, places: list[str], chosen: str) -> str:
    """Return which places could not be chosen, and what was; an empty text where all of them could."""
    missing = [short_place(place) for place in places if network.address(place) is None]
    if not missing:
        return ""
    names = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")
    has = "has" if len(missing) == 1 else "have"
    return f"{names} {has} no address yet, so this starts with {short_place(chosen)}"


def last_known(before: Network, now: Network, place: str) -> str:
    """Return `place`, or the address that it had `before`, where it is `now` without one."""
    if place == INTERNET or now.address(place) is not None:
        return place
    return str(before.address(place) or place)
