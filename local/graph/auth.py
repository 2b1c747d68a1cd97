"""The caller's identity: Entra's tokens, checked as Graph checks them, and their permissions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from local.graph.errors import (
    GraphError,
    access_denied,
    blocked_by_policy,
    insufficient_privileges,
    invalid_token,
)
from local.graph.permissions import SUBSCRIBE, RequiredPermission
from local.graph.switches import BehaviorFlags
from local.world import Person, World

GRAPH_APP_ID: Final = "00000003-0000-0000-c000-000000000000"
_TOKENS_REMEMBERED: Final = 10_000
TokenKeys = Callable[[], Mapping[str, RSAPublicKey]]
"""Returns Entra's current signing keys by key id."""


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The caller: an app, and the user it acts for if the token is delegated."""

    app_id: str
    tenant_id: str
    user_id: str | None
    permissions: frozenset[str]
    """`scp` or `roles`."""

    @property
    def is_app_only(self) -> bool:
        """Whether the app calls as itself."""
        return self.user_id is None

    @property
    def creator_id(self) -> str:
        """The user's id, or that of the app's service principal; here it is the app's own id."""
        return self.user_id or self.app_id


class TokenValidator:
    """Checks tokens and permissions."""

    def __init__(
        self, world: World, token_keys: TokenKeys, audiences: set[str], switches: BehaviorFlags
    ) -> None:
        self._world = world
        self._token_keys = token_keys
        self.audiences = audiences | {GRAPH_APP_ID, "https://graph.microsoft.com"}
        self._switches = switches
        self._verified: dict[tuple[str, str], Mapping[str, Any]] = {}

    def identify(self, authorization: str | None) -> CallerIdentity:
        """Return the caller of this ``Authorization`` header. GraphError 401 if it is invalid."""
        scheme, _, token = (authorization or "").partition(" ")
        if not authorization:
            raise invalid_token("Access token is empty.")
        if scheme.casefold() != "bearer" or not token.strip():
            raise invalid_token("CompactToken parsing failed with error code: 80049217")
        claims = self._claims(token.strip())
        tenant_id, app_id = str(claims.get("tid")), claims.get("azp") or claims.get("appid")
        if tenant_id not in self._world.tenants or not app_id:
            raise invalid_token("The identity of the calling application could not be established.")
        scopes = claims.get("scp")
        granted = str(scopes).split() if scopes else list(claims.get("roles") or [])
        user_id = str(claims["oid"]) if scopes else None
        return CallerIdentity(str(app_id), tenant_id, user_id, frozenset(granted))

    def _claims(self, token: str) -> Mapping[str, Any]:
        claims = self._verified_claims(token)
        if float(claims["exp"]) <= self._world.clock.now().timestamp():
            raise invalid_token("Lifetime validation failed, the token is expired.")
        if str(claims["aud"]).rstrip("/") not in self.audiences:
            raise invalid_token("Access token validation failure. Invalid audience.")
        return claims

    def _verified_claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a validly signed token. Cached: a batch repeats it 20 times."""
        try:
            key_id = str(jwt.get_unverified_header(token).get("kid", ""))
            key = self._token_keys().get(key_id)
            if key is None:
                raise invalid_token("Signing key is invalid.")
            if (known := self._verified.get((key_id, token))) is not None:
                return known
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                options={
                    # Audience and times are checked below, by the world's clock.
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "aud", "tid"],
                },
            )
        except jwt.InvalidSignatureError:
            raise invalid_token("Access token validation failure. Invalid signature.") from None
        except jwt.PyJWTError:
            raise invalid_token("CompactToken parsing failed with error code: 80049217") from None
        if float(claims["exp"]) <= self._world.clock.now().timestamp():
            raise invalid_token("Lifetime validation failed, the token is expired.")
        if str(claims["aud"]).rstrip("/") not in self.audiences:
            raise invalid_token("Access token validation failure. Invalid audience.")
        return claims

    def require(
        self, identity: CallerIdentity, need: RequiredPermission, person: Person | None
    ) -> None:
        """Check that *caller* may make this call, on *person*'s mailbox if any.

        Raises:
            GraphError: 403 in the words of the service that refuses.
        """
        if not identity.is_app_only:
            if not identity.permissions & need.delegated:
                raise refusal(need)
            if person and need.refusal != "directory" and person.object_id != identity.user_id:
                raise refusal(need)
            return
        self._require_app(identity, need, person)

    def _require_app(
        self, identity: CallerIdentity, need: RequiredPermission, person: Person | None
    ) -> None:
        if identity.permissions & need.application:
            in_policy = identity.tenant_id in self._switches.access_policy
            if person and need.refusal != "directory" and in_policy and not person.in_scope:
                raise blocked_by_policy()
            return
        in_exchange = set(self._switches.rbac.get(identity.tenant_id, [])) & need.application
        by_exchange = in_exchange and need.refusal != "directory"
        if need is SUBSCRIBE and not self._switches.rbac_subscriptions:
            by_exchange = False
        if not by_exchange or (person and not person.in_scope):
            raise refusal(need)

    def effective(self, identity: CallerIdentity) -> frozenset[str]:
        """Return the permissions with those that Exchange grants by itself."""
        if not identity.is_app_only:
            return identity.permissions
        return identity.permissions | set(self._switches.rbac.get(identity.tenant_id, []))


def refusal(need: RequiredPermission) -> GraphError:
    """Return the 403 of the service that refuses."""
    if need.refusal == "directory":
        return insufficient_privileges()
    if need.refusal == "subscription":
        return GraphError(
            403,
            "ExtensionError",
            "Operation: Create; Exception: [Status Code: Forbidden; Reason: Access is denied. "
            "Check credentials and try again.]",
        )
    return access_denied()
