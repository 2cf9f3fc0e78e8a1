"""The log viewer goes on where a message is too large for a frame of the WebSocket."""

from playwright.sync_api import expect

from system import Relay, System


class SmallFrames(Relay):
    """Closes a connection with code 1009 in place of a message of 64 KB or more, as API Gateway may."""

    closed = 0

    async def _pass(self, reader, writer):
        while data := await reader.read(65536):
            # A text frame whose length takes eight bytes (RFC 6455, section 5.2). No JSON has these bytes.
            at = data.find(b"\x81\x7f\x00\x00\x00\x00")
            writer.write(data if at < 0 else data[:at] + b"\x88\x02\x03\xf1")
            await writer.drain()
            if at >= 0:
                self.closed += 1
                break
        writer.close()


def test_a_line_that_is_too_long_for_a_frame_is_asked_for_at_the_api(visit, tmp_path):
    relay = SmallFrames(lambda: system.port)
    system = System(tmp_path, websocket_port=relay.port)
    try:
        execution = system.run("echo before; head -c 100000 /dev/zero | tr '\\0' x; echo; echo after; sleep 600")
        page = visit(system).sign_in(f"/logs?execution_id={execution}")
        expect(page.get_by_role("log").get_by_text("after", exact=True)).to_be_visible()
        assert relay.closed >= 2
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert "x" * 100_000 in download.value.path().read_text().splitlines()
        system.api("DELETE", f"/executions/{execution}")
    finally:
        system.stop()
