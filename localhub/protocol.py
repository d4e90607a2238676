"""HTTP as uvicorn speaks it, but for two cases in which a client would get no answer."""

from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS = 5


class Protocol(H11Protocol):
    """Answers a client that has closed its sending side, and one whose body can't be read."""

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn says None: hang up
        """Stay to send the answer to a whole request, if it is due."""
        is_due = bool(self.cycle and not self.cycle.more_body and not self.cycle.response_complete)
        if is_due:
            self.cycle.keep_alive = False
        return is_due

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, then read on for a while.

        A socket that is closed on unread data is reset, and the client never sees the answer.
        """
        if self.cycle and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the app gets no more of the body, and can't answer
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {len(msg)}"
        self.transport.write(f"{head}\r\n\r\n{msg}".encode())
        self.transport.write_eof()
        self.data_received = _ignore  # type: ignore[method-assign]
        self.transport.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _ignore(data: bytes) -> None:
    """Drop what a refused client still sends."""
