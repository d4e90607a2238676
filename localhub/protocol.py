"""uvicorn's HTTP, except for two cases in which a client would get no answer."""

from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS = 5


class Protocol(H11Protocol):
    """Answers clients that have closed their sending side, and invalid HTTP with a body."""

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn says None: hang up
        """Keep the connection open while the answer to a complete request is pending."""
        is_due = bool(self.cycle and not self.cycle.more_body and not self.cycle.response_complete)
        if is_due:
            self.cycle.keep_alive = False
        return is_due

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP, then keep reading for a while.

        Closing a socket with unread data resets it, and the client never sees the answer.
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
        self.data_received = _discard  # type: ignore[method-assign]
        self.transport.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _discard(data: bytes) -> None:
    """Drop what a refused client still sends."""
