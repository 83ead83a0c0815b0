"""What the caller did wrong: one class per kind, each message with the value, the rule and the way out.

A lost packet or an exhausted CIDR is no error but an answer, and therefore a value.
"""


class FlannelvizError(Exception):
    """Every error that this package raises on purpose."""


class AddressPlanError(FlannelvizError, ValueError):
    """The requested addresses cannot form a cluster."""


class PacketError(FlannelvizError, ValueError):
    """No IPv4 packet looks like this, or this model sends none of its kind."""


class UnknownPlaceError(FlannelvizError, LookupError):
    """Nothing in the network carries this name or address."""


class DumpError(FlannelvizError, ValueError):
    """The imported text is not the output that it should be."""


class FaultError(FlannelvizError, ValueError):
    """This fault cannot be put into this network."""


class LabError(FlannelvizError, RuntimeError):
    """This machine cannot run a lab, or a lab cannot hold this network."""


class WiringError(LabError):
    """A lab's kernel holds something else than the tables that it was built from."""


class NotebookError(FlannelvizError, ValueError):
    """This notebook cannot be exported, or not to there."""
