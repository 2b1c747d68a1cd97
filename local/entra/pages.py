"""Entra's pages for people: sign in, approve the app, sign out. Without scripts.

Source: https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
"""

import html
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from local.entra.directory import ANY_TENANT, Directory
from local.entra.errors import EntraError
from local.entra.token_endpoint import CODE_LIFE, AuthorizationCode, Sessions
from local.world import Person, Tenant

SIGNED_IN: Final = "SIGNED_IN_PERSON"
"""The cookie that lets a silent request (``prompt=none``) succeed."""
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#222}
h1{font-size:1.4rem}ul{padding:0;list-style:none}button,a.button{font:inherit;display:block;
width:100%;box-sizing:border-box;text-align:left;padding:.6rem .8rem;margin:.3rem 0;border:1px solid
#888;border-radius:.4rem;background:#fff;color:inherit;cursor:pointer;text-decoration:none}
button:hover,a.button:hover{background:#eef}small{color:#555}.trouble{color:#a00}
"""
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


class Pages:
    """Serves the pages of one simulator."""

    def __init__(self, directory: Directory, sessions: Sessions) -> None:
        self._directory = directory
        self._sessions = sessions
        self._world = directory.world

    # --- sign in

    async def authorize(self, request: web.Request) -> web.Response:
        """Let the user choose a person; the choice redirects to the app with a code."""
        query = await _parameters(request)
        try:
            tenant = self._named(request.match_info["tenant"])
            self._check_client(query)
            _need(query, "response_type")
        except EntraError as error:
            return self._trouble(error, None)
        chosen = query.get("person") or (
            request.cookies.get(SIGNED_IN) if query.get("prompt") == "none" else None
        )
        if not chosen:
            if query.get("prompt") == "none":
                return self._back_with_error(EntraError(50058), query)
            return _page("Sign in", self._choice(tenant, request, query))
        try:
            return self._signed_in(self._world.person(chosen), tenant, query)
        except KeyError:
            return self._trouble(_nobody(chosen, tenant), query)
        except EntraError as error:
            if query.get("prompt") == "none":
                return self._back_with_error(error, query)
            return self._trouble(error, query)

    def _signed_in(
        self, person: Person, tenant: Tenant | None, query: Mapping[str, str]
    ) -> web.Response:
        if tenant and tenant.tenant_id != person.tenant_id:
            raise EntraError(50020, tenant=tenant.name, app=query["client_id"])
        self._directory.ensure_signs_in(person)
        code = secrets.token_urlsafe(32)
        self._sessions.codes[code] = AuthorizationCode(
            person=person,
            client_id=query["client_id"].lower(),
            redirect_uri=query["redirect_uri"],
            scope=query.get("scope", ""),
            challenge=query.get("code_challenge"),
            nonce=query.get("nonce"),
            met_claims=_met(query.get("claims")),
            expires_at=self._world.clock.now() + CODE_LIFE,
        )
        answer = {"code": code, "session_state": secrets.token_hex(16)}
        response = _back(query, answer | _state(query))
        response.set_cookie(
            SIGNED_IN, person.object_id, secure=True, httponly=True, samesite="None", path="/"
        )
        return response

    def _choice(self, tenant: Tenant | None, request: web.Request, query: Mapping[str, str]) -> str:
        tenants = [tenant] if tenant else list(self._world.tenants.values())
        hint = query.get("login_hint", "").casefold()
        parts = ["<h1>Who are you?</h1>", '<p class="note">This is the simulated Entra.</p>']
        for each in tenants:
            people = sorted(each.people, key=lambda p: p.address.casefold() != hint)
            if people:
                parts.append(f"<h2>{html.escape(each.name)}</h2><ul>")
                parts += [self._person(each_person, request, query) for each_person in people]
                parts.append("</ul>")
        return "".join(parts)

    def _person(self, person: Person, request: web.Request, query: Mapping[str, str]) -> str:
        target = f"{request.path}?{urlencode({**query, 'person': person.key})}"
        return (
            f'<li><a class="button" id="{html.escape(person.key)}" href="{html.escape(target)}">'
            f"{html.escape(person.name)}<br><small>{html.escape(person.address)}"
            f"{' · ' + html.escape(person.about) if person.about else ''}</small></a></li>"
        )

    async def logout(self, request: web.Request) -> web.Response:
        """Sign the user out, and redirect to the app's address."""
        target = request.query.get("post_logout_redirect_uri", "")
        if target and self._may_go_to(target):
            response: web.Response = web.Response(status=302, headers={"Location": target})
        else:
            response = _page("Signed out", "<h1>You are signed out.</h1>")
        response.del_cookie(SIGNED_IN, path="/")
        return response

    # --- admin consent

    async def admin_consent(self, request: web.Request) -> web.Response:
        """Show an admin the requested permissions; the decision redirects to the app."""
        query = await _parameters(request)
        try:
            tenant = self._named(request.match_info["tenant"])
            self._check_client(query)
            if "/v2.0/" in request.path:
                _need(query, "scope")
        except EntraError as error:
            return self._trouble(error, None)
        decision = query.get("decision")
        if decision == "refuse":
            return self._refused(query)
        if decision == "grant":
            try:
                return self._granted(query, tenant)
            except (KeyError, EntraError) as error:
                known = error if isinstance(error, EntraError) else None
                return self._trouble(known or _nobody(query.get("person", ""), tenant), query)
        return _page("Permissions requested", self._request_page(request, query, tenant))

    def _granted(self, query: Mapping[str, str], tenant: Tenant | None) -> web.Response:
        admin = self._world.person(query.get("person", ""))
        if tenant and tenant.tenant_id != admin.tenant_id:
            raise EntraError(50020, tenant=tenant.name, app=query["client_id"])
        if not admin.admin:
            raise EntraError(90094)
        scope = query.get("scope", "")
        names = [part.rpartition("/")[2] for part in scope.split()]
        if not names or ".default" in names:
            self._directory.grant(admin.tenant_id)
        else:
            # Named scopes are delegated ones: application permissions need .default.
            self._directory.grant(admin.tenant_id, delegated=names, application=())
        answer = {"admin_consent": "True", "tenant": admin.tenant_id}
        return _back(query, answer | ({"scope": scope} if scope else {}) | _state(query))

    def _refused(self, query: Mapping[str, str]) -> web.Response:
        error = EntraError(65004)
        description = error.description(self._world.clock.now())
        answer = {"error": "consent_required", "error_description": description}
        return _back(query, {"admin_consent": "True"} | answer | _state(query))

    def _request_page(
        self, request: web.Request, query: Mapping[str, str], tenant: Tenant | None
    ) -> str:
        tenants = [tenant] if tenant else list(self._world.tenants.values())
        registration = self._directory.registration
        rows = [("As the signed-in user", each) for each in sorted(registration.delegated)]
        rows += [("By itself, in every mailbox", each) for each in sorted(registration.application)]
        asked = "".join(
            f"<li>{html.escape(n)} <small>{html.escape(w)}</small></li>" for w, n in rows
        )
        kept = {name: value for name, value in query.items() if name not in {"decision", "person"}}
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in kept.items()
        )
        buttons = "".join(
            f'<form method="post" action="{html.escape(request.path)}">{hidden}'
            f'<input type="hidden" name="decision" value="grant">'
            f'<button name="person" id="grant-{html.escape(admin.key)}" '
            f'value="{html.escape(admin.key)}">Accept as {html.escape(admin.name)}<br>'
            f"<small>{html.escape(admin.address)} · {html.escape(admin.about)}</small>"
            "</button></form>"
            for admin in _role_holders(tenants)
        )
        return (
            "<h1>Permissions requested</h1><p>Mentor Calendar asks for your whole organization:</p>"
            f"<ul>{asked}</ul>{buttons}"
            f'<form method="post" action="{html.escape(request.path)}">{hidden}'
            '<button name="decision" id="refuse" value="refuse">Cancel</button></form>'
        )

    # --- parts

    def _named(self, name: str) -> Tenant | None:
        return None if name in ANY_TENANT else self._directory.tenant(name)

    def _check_client(self, query: Mapping[str, str]) -> None:
        client_id = _need(query, "client_id").lower()
        if client_id != self._directory.registration.client_id:
            raise EntraError(700016, app=client_id, tenant="Microsoft")
        target = query.get("redirect_uri", "")
        if not self._may_go_to(target):
            raise EntraError(50011, detail=target, app=client_id)

    def _may_go_to(self, target: str) -> bool:
        registration = self._directory.registration
        if target in registration.web_redirect_uris:
            return True
        known = registration.redirect_uris
        return target in known if known else urlsplit(target).hostname in _LOOPBACK

    def _trouble(self, error: EntraError, query: Mapping[str, str] | None) -> web.Response:
        """Show *error*, with a link back to the app if Entra knows one."""
        description = error.description(self._world.clock.now())
        title = "Need admin approval" if error.code == 90094 else "Sorry, but we have trouble"
        body = f'<h1>{title}</h1><p class="trouble">{html.escape(description)}</p>'
        if query and query.get("redirect_uri"):
            answer = {"error": "access_denied", "error_description": description} | _state(query)
            target = _target(query, answer)
            body += f'<a class="button" id="back" href="{html.escape(target)}">Back to the app</a>'
        return _page("Trouble", body, status=400)

    def _back_with_error(self, error: EntraError, query: Mapping[str, str]) -> web.Response:
        description = error.description(self._world.clock.now())
        answer = {"error": error.kind.error, "error_description": description}
        if error.suberror:
            answer["suberror"] = error.suberror
        return _back(query, answer | _state(query))


def _role_holders(tenants: Iterable[Tenant]) -> list[Person]:
    """Return all who hold a role, also one that cannot approve: Entra tells them only then."""
    return [person for tenant in tenants for person in tenant.people if person.directory_roles]


def _nobody(named: str, tenant: Tenant | None) -> EntraError:
    return EntraError(50034, detail=named, tenant=tenant.name if tenant else "organizations")


async def _parameters(request: web.Request) -> dict[str, str]:
    parameters = {name: str(value) for name, value in request.query.items()}
    if request.method == "POST":
        form = await request.post()
        parameters |= {name: value for name, value in form.items() if isinstance(value, str)}
    return parameters


def _need(query: Mapping[str, str], name: str) -> str:
    if not query.get(name):
        raise EntraError(900144, detail=name)
    return query[name]


def _state(query: Mapping[str, str]) -> dict[str, str]:
    return {"state": query["state"]} if "state" in query else {}


def _met(claims: str | None) -> dict[str, Any]:
    """Return the claims of a token after a sign-in with *claims*: they meet every demand."""
    try:
        wanted = json.loads(claims or "{}").get("access_token", {})
    except (ValueError, AttributeError):
        return {}
    return {
        name: [str(rule["value"])] if name == "acrs" else str(rule["value"])
        for name, rule in wanted.items()
        if isinstance(rule, dict) and "value" in rule
    }


def _target(query: Mapping[str, str], answer: Mapping[str, str]) -> str:
    # Entra encodes a blank as %20 here: MSAL does not read a plus as a blank.
    encoded = urlencode(answer, quote_via=quote)
    fragment = query.get("response_mode") == "fragment"
    target = query["redirect_uri"]
    separator = "#" if fragment else ("&" if urlsplit(target).query else "?")
    return f"{target}{separator}{encoded}"


def _back(query: Mapping[str, str], answer: Mapping[str, str]) -> web.Response:
    if query.get("response_mode") == "form_post":
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in answer.items()
        )
        target = html.escape(query["redirect_uri"])
        return _page(
            "Continue",
            f'<form method="post" action="{target}">{fields}<button>Continue</button></form>',
        )
    return web.Response(status=302, headers={"Location": _target(query, answer)})


def _page(title: str, body: str, *, status: int = 200) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<body>{body}</body></html>"
    )
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )
