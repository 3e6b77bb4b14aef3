"""The CRM of lookup.py, a process that answers each search over HTTP: as it should, or not.

    python benchmarks/_crm.py HOST PORT KIND

KIND is "answers" (after 150 ms, with one person for each number), "hangs" (never answers) or
"garbage" (half a megabyte that is not JSON).
"""

import asyncio
import json
import sys

DELAY_S = 0.15


def answer(body: bytes, content_type: str) -> bytes:
    """Return a whole answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


GARBAGE = answer(b"<p>not JSON</p>" * 35_000, "text/html")


def person(number: str) -> bytes:
    """Return the answer to a search for this number in E.164."""
    found = {"id": number, "name": f"Person {number[-6:]}", "phone": number}
    return answer(json.dumps({"people": [found]}).encode(), "application/json")


async def serve(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the searches of one connection until it is closed."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            sought = json.loads(await reader.readexactly(length))["phone"]
            if kind == "hangs":
                await asyncio.Event().wait()
            await asyncio.sleep(DELAY_S)
            writer.write(GARBAGE if kind == "garbage" else person(sought))
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def main(host: str, port: int, kind: str) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(lambda r, w: serve(kind, r, w), host, port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
