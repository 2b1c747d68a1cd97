"""The modules that a cold start imports: counted, as counts have no noise, unlike times."""

import subprocess
import sys

LIGHT = ["http_pool", "entra", "entra_errors", "key_vault", "client_states", "app_credentials"]
HEAVY = ("msgraph", "azure.", "kiota", "aiohttp", "httpx", "jwt", "cryptography")


def loaded(*names: str) -> set[str]:
    """Return the modules of a new process that imports *names*."""
    code = (
        f"import importlib, sys; [importlib.import_module(n) for n in {names!r}]; "
        "print('\\n'.join(sys.modules))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(completed.stdout.split())


def test_credentials_and_checks_load_nothing_heavy_before_they_are_used() -> None:
    modules = loaded(*(f"shared.adapters.{name}" for name in LIGHT))
    assert not {m for m in modules if m.startswith(HEAVY)}


def test_calls_load_few_of_the_sdks_models() -> None:
    names = ("client", "schedules", "events", "subscriptions", "people", "batch")
    modules = loaded(*(f"shared.adapters.graph.{name}" for name in names))
    models = {m for m in modules if m.startswith("msgraph.generated.models.")}
    assert len(models) <= 25, models
    assert "msgraph.generated.models.o_data_errors.o_data_error" not in modules
    assert len(modules) <= 1_000
