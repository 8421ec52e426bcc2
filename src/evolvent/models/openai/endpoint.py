"""A server's address and key, the models that it lists, and what is wrong where it refuses everybody."""

from dataclasses import dataclass, field

import aiohttp

from evolvent.models.openai.connection import BodyTooLongError, open_session, read_body, without_key
from evolvent.models.openai.reply import decode, well_formed
from evolvent.models.openai.server_errors import ServerError

LISTING_S = 5.0
LISTED = 20


@dataclass(frozen=True, slots=True)
class Listing:
    """What ``GET /models`` was answered: the status (0 for no answer) and the models' names."""

    status: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked.

    Attributes:
        model: the model's name at the server.
        base_url: the address up to and including ``/v1``.
        key: the bearer token; never shown.
        key_variable: the environment variable that it came from.
        proxy: the proxy's address, or None.
    """

    model: str
    base_url: str
    key: str | None = field(repr=False)
    key_variable: str
    proxy: str | None = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """A request's headers. A session's own would go to the proxy too."""
        headers = {"Content-Type": "application/json", "User-Agent": "evolvent"}
        return headers | ({"Authorization": f"Bearer {self.key}"} if self.key else {})

    def redact(self, text: str) -> str:
        """Words that can be shown and stored: without the key, and with whole characters only."""
        return without_key(well_formed(text), self.key)

    async def listing(self) -> Listing:
        """The models that the server lists."""
        try:
            async with (
                open_session(LISTING_S) as session,
                session.get(
                    f"{self.base_url}/models", headers=self.headers, proxy=self.proxy, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    return Listing(response.status)
                body = decode(await read_body(response))
        except (aiohttp.ClientError, BodyTooLongError, OSError, ValueError):  # a time-out is an OSError
            return Listing()
        listed = body.get("data") if isinstance(body, dict) else None
        models = listed if isinstance(listed, list) else []
        return Listing(200, tuple(str(each["id"]) for each in models if isinstance(each, dict) and "id" in each))

    def confirms(self, error: ServerError, listing: Listing) -> bool | None:
        """Whether a listing, which holds no prompt, says of a refusal that it is meant for every call.

        Returns:
            None where it says nothing either way.
        """
        if error.status in (401, 403, 404) and listing.status == error.status:
            return True
        if error.status == 404 and listing.names:
            return True if self.model not in listing.names else None
        if error.status == 403 and self.model in listing.names:
            return False
        return None

    def mending(self, error: ServerError, listing: Listing) -> str:
        """What to do about a server that refuses every call so."""
        if error.out_of_quota or error.status == 402:
            return "The account has no quota left: top it up, or use another key."
        if error.status in (401, 403):
            held = (
                f"The key in {self.key_variable} was not accepted."
                if self.key
                else f"{self.key_variable} holds no key."
            )
            return f"{held} Set it: export {self.key_variable}=…"
        if error.status == 404 and listing.names:
            more = f" and {len(listing.names) - LISTED} more" if len(listing.names) > LISTED else ""
            return f"The server lists these models: {self.redact(', '.join(listing.names[:LISTED]))}{more}."
        return (
            "Check base_url in the model's URI; it usually ends in /v1. "
            f"The request went to {self.base_url}/chat/completions"
        )
