"""One setting chooses the cloud: where people sign in, where Graph is, whose proof counts."""

import pytest

from shared.errors import Misconfigured
from shared.settings import CLOUDS, CallLimits, Settings

NEEDED = {
    "STORAGE_TABLES_URL": "https://tables.test/",
    "STORAGE_QUEUES_URL": "https://queues.test",
    "KEY_VAULT_URL": "https://vault.test",
    "MANAGED_IDENTITY_CLIENT_ID": "identity",
    "APP_CLIENT_ID": "APP",
    "PLATFORM_TENANT_ID": "TENANT",
    "PLATFORM_CLIENT_IDS": "PLATFORM, Second,",
    "PUBLIC_URL": "https://app.test/",
}


@pytest.mark.parametrize(
    ("name", "login", "graph", "audience"),
    [
        ("global", "login.microsoftonline.com", "graph.microsoft.com", ""),
        ("us-gov-l4", "login.microsoftonline.us", "graph.microsoft.us", "USGov"),
        ("us-gov-l5", "login.microsoftonline.us", "dod-graph.microsoft.us", "USGov"),
        ("china", "login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn", "China"),
    ],
)
def test_one_setting_chooses_the_cloud(name: str, login: str, graph: str, audience: str) -> None:
    cloud = Settings.from_environment(NEEDED | {"CLOUD": name}).cloud
    assert cloud.login_url == f"https://{login}"
    assert cloud.graph_url == f"https://{graph}"
    assert cloud.token_exchange_audience == f"api://AzureADTokenExchange{audience}"
    assert cloud.portal_url.startswith("https://entra.")
    issuer = "login.partner.microsoftonline.cn" if name == "china" else login
    assert cloud.issuer_of("a") == f"https://{issuer}/a/v2.0"


def test_no_cloud_means_the_global_one() -> None:
    assert Settings.from_environment(NEEDED).cloud == CLOUDS["global"]


def test_roots_can_be_replaced_one_by_one() -> None:
    replaced = NEEDED | {"CLOUD": "china", "LOGIN_URL": "https://localhost:1/"}
    cloud = Settings.from_environment(replaced).cloud
    assert cloud.login_url == "https://localhost:1"
    assert cloud.issuer_of("a") == "https://localhost:1/a/v2.0"
    assert cloud.graph_url == CLOUDS["china"].graph_url


def test_an_unknown_cloud_is_named() -> None:
    with pytest.raises(Misconfigured, match="CLOUD"):
        Settings.from_environment(NEEDED | {"CLOUD": "mars"})


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        Settings.from_environment(NEEDED | {name: "  "})


def test_an_odd_credential_is_named() -> None:
    with pytest.raises(Misconfigured, match="APP_CREDENTIAL"):
        Settings.from_environment(NEEDED | {"APP_CREDENTIAL": "password"})


def test_the_platforms_clients_are_a_list() -> None:
    settings = Settings.from_environment(NEEDED)
    assert settings.platform_client_ids == {"platform", "second"}


def test_the_apps_of_people_are_a_list_that_may_be_empty() -> None:
    assert Settings.from_environment(NEEDED).user_client_ids == frozenset()
    settings = Settings.from_environment(NEEDED | {"USER_CLIENT_IDS": "A, b,"})
    assert settings.user_client_ids == {"a", "b"}


def test_a_list_that_names_no_client_is_missing() -> None:
    with pytest.raises(Misconfigured, match="PLATFORM_CLIENT_IDS"):
        Settings.from_environment(NEEDED | {"PLATFORM_CLIENT_IDS": " , "})


def test_limits_are_numbers_with_defaults() -> None:
    assert Settings.from_environment(NEEDED).limits == CallLimits()
    limits = Settings.from_environment(
        NEEDED | {"LIMIT_CHANGES_PER_MINUTE": "5", "LIMIT_UNANSWERED_DATES": "0"}
    ).limits
    assert (limits.changes_per_minute, limits.unanswered_dates) == (5, 0)


@pytest.mark.parametrize("value", ["-1", "many", "1e3", "1.5"])
def test_a_limit_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(Misconfigured, match="LIMIT_CHANGES_PER_DAY"):
        Settings.from_environment(NEEDED | {"LIMIT_CHANGES_PER_DAY": value})
