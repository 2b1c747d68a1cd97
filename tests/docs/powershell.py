"""The PowerShell blocks of the documents, compared with Microsoft's reference of their cmdlets."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.docs.commands import Block

_APPLICATIONS: Final = "Microsoft.Graph.Applications"
_EXCHANGE: Final = "ExchangeOnlineManagement"
_CORE: Final = ""
"""Of PowerShell itself, so never installed."""
CMDLETS: Final[dict[str, tuple[str, set[str]]]] = {
    "Install-Module": (_CORE, {"Scope"}),
    "Where-Object": (_CORE, {"eq"}),
    "ForEach-Object": (_CORE, set()),
    "Write-Output": (_CORE, set()),
    # Microsoft.Graph.Authentication, which comes with any other module of Microsoft Graph.
    "Connect-MgGraph": (_APPLICATIONS, {"Scopes"}),
    "Get-MgServicePrincipal": (_APPLICATIONS, {"Filter"}),
    "Get-MgServicePrincipalAppRoleAssignment": (_APPLICATIONS, {"ServicePrincipalId"}),
    "Get-MgServicePrincipalOauth2PermissionGrant": (_APPLICATIONS, {"ServicePrincipalId"}),
    "Update-MgServicePrincipal": (
        _APPLICATIONS,
        {"ServicePrincipalId", "AppRoleAssignmentRequired"},
    ),
    "New-MgGroupAppRoleAssignment": (
        _APPLICATIONS,
        {"GroupId", "PrincipalId", "ResourceId", "AppRoleId"},
    ),
    "Remove-MgServicePrincipalAppRoleAssignment": (
        _APPLICATIONS,
        {"ServicePrincipalId", "AppRoleAssignmentId"},
    ),
    "Remove-MgServicePrincipal": (_APPLICATIONS, {"ServicePrincipalId"}),
    "Connect-ExchangeOnline": (_EXCHANGE, set()),
    "Get-Group": (_EXCHANGE, {"Identity"}),
    "New-ServicePrincipal": (_EXCHANGE, {"AppId", "ObjectId", "DisplayName"}),
    "New-ManagementScope": (_EXCHANGE, {"Name", "RecipientRestrictionFilter"}),
    "New-ManagementRoleAssignment": (_EXCHANGE, {"App", "Role", "CustomResourceScope"}),
    "Test-ServicePrincipalAuthorization": (_EXCHANGE, {"Identity", "Resource"}),
}
"""Module and parameters of each cmdlet, no more of them than the documents use.

Sources: https://learn.microsoft.com/powershell/module/microsoft.graph.applications/ and
https://learn.microsoft.com/powershell/module/exchange/
"""
_CMDLET: Final = re.compile(r"(?<![\w$-])[A-Z][a-z]+-[A-Z]\w+")


@dataclass(frozen=True, slots=True)
class Cmdlet:
    """One call of a cmdlet, with the names of its parameters."""

    name: str
    parameters: tuple[str, ...]


def cmdlets_of(block: Block) -> list[Cmdlet]:
    """Return the calls in *block*; one that is commented out counts as well."""
    return list(_calls(_bare(block.text)))


def _bare(text: str) -> str:
    """Return *text* with its lines joined and without its strings and its remarks."""
    text = re.sub(r"`\n\s*", " ", text)
    text = re.sub(r"\"(?:[^\"$\n]|\$\([^)]*\)|\$)*\"|'[^'\n]*'", "TEXT", text)
    text = re.sub(r"^# (?=[A-Z][a-z]+-[A-Z])", "", text, flags=re.MULTILINE)
    return re.sub(r"#.*$", "", text, flags=re.MULTILINE)


def _calls(text: str) -> Iterator[Cmdlet]:
    for part in re.split(r"[|;\n(){}=]", text):
        if found := _CMDLET.search(part):
            yield Cmdlet(found[0], tuple(re.findall(r"(?<=\s)-([A-Za-z]\w*)", part)))


def complaints_of(blocks: Sequence[Block]) -> list[str]:
    """Return what is wrong with *blocks*, which an administrator types in this order."""
    return list(_complaints(blocks))


def _complaints(blocks: Sequence[Block]) -> Iterator[str]:
    installed, variables = {_CORE}, {"_", "true", "false"}
    for block in blocks:
        calls = cmdlets_of(block)
        text = _bare(block.text)
        for line in re.findall(r"Install-Module ([\w., ]+?) -", text):
            installed.update(line.split(", "))
        variables.update(re.findall(r"^\$(\w+) =", text, re.MULTILINE))
        for name in re.findall(r"\$(\w+)", block.text):
            if name not in variables:
                yield f"{block.place}: nothing sets ${name}"
        if not calls:
            yield f"{block.place}: no cmdlet"
        for call in calls:
            yield from (f"{block.place}: {each}" for each in _complaint(call, installed))


def _complaint(call: Cmdlet, installed: set[str]) -> Iterator[str]:
    if call.name not in CMDLETS:
        yield f"an unknown cmdlet: {call.name}: teach the test or mend the document"
        return
    module, parameters = CMDLETS[call.name]
    if module not in installed:
        yield f"nothing installs {module}, which {call.name} is of"
    for each in call.parameters:
        if each not in parameters:
            yield f"no parameter -{each} of {call.name}"
