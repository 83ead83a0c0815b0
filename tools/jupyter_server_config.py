"""Settings of the server that `make lab` starts: small widget messages go out at once.

Without TCP_NODELAY the second of two small messages waits for the browser's delayed acknowledgement, about 40 ms, and a
picture follows its slider late. jupyter_server has no option for it, so its websocket is told when it opens.
"""

from typing import Any

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

_open = KernelWebsocketHandler.open


async def _open_without_delay(self: KernelWebsocketHandler, *args: Any, **options: Any) -> None:
    self.set_nodelay(True)
    await _open(self, *args, **options)


KernelWebsocketHandler.open = _open_without_delay
