"""Ask a language model behind a server: OpenAI's protocol or Ollama's.

Not built on a page. Only what a judge needs: one prompt in, one text out.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

PATHS = {"openai": "/chat/completions", "ollama": "/api/chat"}
# the server may do better in a moment; other errors will not go away by themselves
TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)


class ChatError(OSError):
    """A prompt got no reply; the message has the server's reason."""


class RefusedError(ChatError):
    """The server does not want this prompt; it would not the next time either."""


class ServerMissingError(ChatError):
    """There is no server, or it refuses everything: no use to ask further."""


@dataclass(frozen=True)
class Reply:
    """What a model said, and what it took."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class ChatServer:
    """A model on a server; calling it with a prompt gives a `Reply`.

    - `url`: as "https://api.openai.com/v1" or "http://localhost:11434"
    - `protocol`: "openai" or "ollama"
    - `key`: sent as a bearer token, and never shown or written
    - `timeout`: seconds to wait for a connection, and for the reply
    - `tries`: how often a prompt is sent before it counts as failed
    - `pause`: seconds before the second try; it doubles from try to try
    - `prices`: of a million tokens read, and of a million written
    - `extra`: what else the request says; None leaves a field out, as in
      {"max_tokens": None, "max_completion_tokens": 200}

    No reply after all tries raises ChatError, a server that is not there, or does not
    know key or model, ServerMissingError.
    """

    url: str
    model: str
    protocol: str = "openai"
    key: str | None = None
    timeout: tuple[float, float] = (5.0, 120.0)
    tries: int = 4
    pause: float = 1.0
    max_tokens: int = 64
    prices: tuple[float, float] = (0.0, 0.0)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.protocol not in PATHS:
            raise ValueError(
                f"protocol is {self.protocol!r}; expected one of {', '.join(PATHS)}"
            )
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(
                f'url is {self.url!r}; it must begin with "http://" or "https://"'
            )
        if self.tries < 1:
            raise ValueError(f"tries is {self.tries}; it must be 1 or more")

    def __repr__(self) -> str:
        return f"ChatServer({self.url!r}, {self.model!r}, {self.protocol!r})"

    def __call__(self, prompt: str) -> Reply:
        start, reason = time.perf_counter(), ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                text, read, written = self.ask(prompt)
            except (RefusedError, ServerMissingError):
                raise
            except ChatError as error:
                reason = str(error)
                continue
            cost = (read * self.prices[0] + written * self.prices[1]) / 1e6
            return Reply(text, read, written, time.perf_counter() - start, cost)
        raise ChatError(f"no reply in {self.tries} tries; the last one: {reason}")

    def ask(self, prompt: str) -> tuple[str, int, int]:
        """Send a prompt once: the text, and the tokens that were read and written."""
        url = self.url.rstrip("/") + PATHS[self.protocol]
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            response = requests.post(
                url, json=self.body(prompt), headers=headers, timeout=self.timeout
            )
        except requests.ReadTimeout:
            raise ChatError(f"{url} said nothing for {self.timeout[1]:g} s") from None
        except requests.ConnectionError as error:
            if not is_missing(error):
                raise ChatError(f"{url} hung up") from None
            raise ServerMissingError(
                f"no server answers at {self.url}; start it, or give its address "
                '(Ollama\'s is "http://localhost:11434", after `ollama serve`)'
            ) from None
        except requests.RequestException as error:
            raise ChatError(f"{url}: {type(error).__name__}") from None
        check_status(response, url, self.model)
        return self.read(response, url)

    def body(self, prompt: str) -> dict[str, Any]:
        """What is sent. Temperature 0: a judge should say the same every time."""
        messages = [{"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": self.model, "messages": messages}
        if self.protocol == "ollama":
            options = {"temperature": 0, "num_predict": self.max_tokens}
            body |= {"stream": False, "options": options}
        else:
            body |= {"temperature": 0, "max_tokens": self.max_tokens}
        body |= self.extra
        return {name: value for name, value in body.items() if value is not None}

    def read(self, response: requests.Response, url: str) -> tuple[str, int, int]:
        """Text and tokens of a response; one of another form raises ChatError."""
        try:
            data = response.json()
            if self.protocol == "ollama":
                text = data["message"]["content"]
                read, written = data.get("prompt_eval_count"), data.get("eval_count")
            else:
                text = data["choices"][0]["message"]["content"]
                usage = data.get("usage") or {}
                read = usage.get("prompt_tokens")
                written = usage.get("completion_tokens")
            # some send null where a model said nothing, or does not count
            return str(text or ""), int(read or 0), int(written or 0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise ChatError(
                f"{url} answered something else than a reply of this protocol: "
                f"{response.text[:80]!r}"
            ) from None


def is_missing(error: requests.ConnectionError) -> bool:
    """Whether no connection came about, rather than one that broke."""
    # urllib3's own error is inside: a refused connection, or a name nobody knows
    refused = "NewConnectionError" in repr(error) or "NameResolution" in repr(error)
    return refused or isinstance(error, requests.ConnectTimeout)


def check_status(response: requests.Response, url: str, model: str) -> None:
    """Raise ChatError for a status that may pass, ServerMissingError for others."""
    if response.status_code == 200:
        return
    reason = f"{url} answered {response.status_code}: {response.text[:200]!r}"
    if response.status_code in TRY_AGAIN:
        raise ChatError(reason)
    hints = {401: "check the key", 403: "check the key", 404: f"is {model!r} there?"}
    hint = hints.get(response.status_code)
    # a single prompt may be refused (400): too long, or not wanted
    kind = ServerMissingError if hint else RefusedError
    raise kind(f"{reason}; {hint}" if hint else reason)
