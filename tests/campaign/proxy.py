"""A way to a server that ends in the middle: after so many requests it dies, or takes what comes and never answers.

    python tests/campaign/proxy.py PORT TO_PORT CONTROL

The file CONTROL says ``<requests> <die or hang>``; its count begins anew whenever it changes, and an empty one lets
everything through.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

METHODS = (b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")


class Fault:
    """What the control file asks for, and how many requests came since it did."""

    def __init__(self, control: Path) -> None:
        self.control, self.text, self.count = control, "", 0

    def now(self, data: bytes) -> str:
        """What to do with `data` of a client: '', 'die' or 'hang'."""
        text = self.control.read_text(encoding="utf-8")
        if text != self.text:
            self.text, self.count = text, 0
        if not text:
            return ""
        after, kind = text.split()
        self.count += data.startswith(METHODS)
        return kind if self.count > int(after) else ""


async def main(port: int, to: int, control: Path) -> None:
    """Serve until killed."""
    fault = Fault(control)

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, server = await asyncio.open_connection("127.0.0.1", to)
        answer = asyncio.create_task(back(from_server, writer))
        try:
            while data := await reader.read(65536):
                kind = fault.now(data)
                if kind == "die":
                    break
                if kind == "hang":
                    await reader.read()  # until the client gives up
                    break
                server.write(data)
                await server.drain()
        except ConnectionError:
            pass
        finally:
            answer.cancel()
            server.close()
            writer.close()

    async with await asyncio.start_server(client, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
