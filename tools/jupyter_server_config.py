"""Settings of the server that `make lab` starts: small widget messages go out at once, and large uploads come in.

Without TCP_NODELAY the second of two small messages waits for the browser's delayed acknowledgement, about 40 ms, and a
picture follows its slider late. jupyter_server has no option for it, so its websocket is told when it opens.

Tornado takes messages up to 10 MiB and closes the websocket at a larger one: an upload would end in a lost kernel.
"""

from typing import Any

from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

_open = KernelWebsocketHandler.open


async def _open_without_delay(self: KernelWebsocketHandler, *args: Any, **options: Any) -> None:
    self.set_nodelay(True)
    await _open(self, *args, **options)


KernelWebsocketHandler.open = _open_without_delay

c.ServerApp.tornado_settings = {"websocket_max_message_size": 100 * 1024 * 1024}  # bytes  # noqa: F821
