"""The plan: every refusal stands beside the range it is about, and the last plan that works stays."""

import pytest

from flannelviz import lab
from flannelviz.views.widgets import plan as plan_module


@pytest.fixture
def plan():
    return lab.plan()


def shown(plan) -> tuple[object, ...]:
    return plan.cluster, plan.allocated, plan.levels.value, plan.screen.value, plan.table.value


def messages(plan) -> dict[str, str]:
    return {name: field.message.value for name, field in plan.fields.items() if field.message.value}


def test_three_levels_are_counted(plan):
    assert plan.says == (
        "VPC CIDR to ECS addresses: 3 of 252 (1 %); cluster CIDR to podCIDRs: 3 of 512 (1 %); "
        "podCIDRs to pod addresses: 6 of 375 (2 %)"
    )
    assert "2^(25 - 16)" in plan.table.value and '<td class="fv-short">512</td>' in plan.table.value


def test_a_change_is_built_at_once(plan):
    plan.control("node mask").value = 28
    assert "3 of 4096" in plan.says and "6 of 39 (15 %)" in plan.says
    assert "172.16.0.16/28" in plan.screen.value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VPC CIDR", "8.8.0.0/16", "VPC 8.8.0.0/16: a VPC takes its addresses from"),
        ("VPC CIDR", "192.168.0.0/33", "is no IPv4 network"),
        ("vSwitch", "192.168.0.1/24", "is an address inside 192.168.0.0/24, not a network"),
        ("vSwitch", "10.0.0.0/24", "it must lie in the VPC&#x27;s 192.168.0.0/16"),
        ("cluster CIDR", "192.168.0.0/16", "it must not overlap the VPC&#x27;s 192.168.0.0/16"),
        ("cluster CIDR", "fd00::/8", "IPv6"),
        ("cluster CIDR", "<script>", "&lt;script&gt;"),
        ("service CIDR", "10.0.0.0/8", "with a mask /16 to /24"),
        ("service CIDR", "", "is no IPv4 network"),
    ],
)
def test_a_bad_range_stands_beside_its_field(plan, name, value, says):
    before = shown(plan)
    plan.control(name).value = value
    assert alerts(plan) == [name]
    assert says in messages(plan)[name]
    assert shown(plan) == before


def alerts(plan) -> list[str]:
    return [name for name, said in messages(plan).items() if 'role="alert"' in said]


def test_every_clash_of_the_changed_range_is_named_beside_it_and_pointed_at(plan):
    plan.control("VPC CIDR").value = "172.16.0.0/12"
    assert alerts(plan) == ["VPC CIDR"]
    said = messages(plan)["VPC CIDR"]
    first, second = "overlaps the pod CIDR 172.16.0.0/16", "does not hold the vSwitch 192.168.0.0/24"
    assert said.index(first) < said.index(second) and "overlaps the service CIDR 172.19.0.0/20" in said
    for other in ("vSwitch", "cluster CIDR", "service CIDR"):
        assert "does not go with the VPC CIDR: see there" in messages(plan)[other]


def test_one_clash_is_told_once(plan):
    plan.control("cluster CIDR").value = "192.168.128.0/17"
    assert "overlaps" not in messages(plan)["cluster CIDR"]
    assert messages(plan)["cluster CIDR"].count("192.168.0.0/16") == 1, "what the refusal says already"


def test_an_untouched_range_is_not_blamed(plan):
    plan.control("service CIDR").value = "172.16.0.0/12"
    assert alerts(plan) == ["service CIDR"]
    assert "see there" in messages(plan)["cluster CIDR"]
    plan.control("number of nodes").value = 4
    assert alerts(plan) == ["service CIDR"], "the number has nothing to do with it"


def test_a_number_that_was_cut_is_said(plan):
    plan.control("pods per node").value = 300
    assert "pods per node 300: at most 253 fit a /24; set to 253" in messages(plan)["pods per node"]
    assert plan.control("pods per node").value == 253
    plan.control("number of nodes").value = -1
    assert "nodes -1: at least 1; set to 1" in messages(plan)["number of nodes"]


def test_labels_use_one_word_and_fit(plan):
    assert plan.control("cluster CIDR").description == "pod CIDR (cluster CIDR)"
    assert plan.control("node mask").options[1] == ("/25 (128)", 25)


def test_two_bad_ranges_have_two_messages(plan):
    plan.control("VPC CIDR").value = "nonsense"
    plan.control("cluster CIDR").value = "172.16.0.1/16"
    assert list(messages(plan)) == ["VPC CIDR", "cluster CIDR"]


def test_running_out_is_watched_not_refused(plan):
    plan.control("cluster CIDR").value = "172.16.0.0/24"
    assert messages(plan) == {}
    assert "3 nodes, but 172.16.0.0/24 holds 2 blocks of /25" in plan.warnings.value
    assert "2 of 2 (100 %)" in plan.says


def test_too_many_pods_for_a_notebook_are_refused(plan):
    plan.control("number of nodes").value = 5000
    before = shown(plan)
    plan.control("pods per node").value = 253
    assert "5,000 nodes with 253 pods are 1,265,000 pods; take 150,000" in messages(plan)["pods per node"]
    assert shown(plan) == before


def test_reset_goes_back_to_the_start(plan):
    start = shown(plan)[2:]
    assert plan.reset.disabled
    plan.control("cluster CIDR").value = "nonsense"
    plan.control("node mask").value = 27
    plan.control("number of nodes").value = 5
    assert not plan.reset.disabled
    plan.reset.click()
    assert shown(plan)[2:] == start and messages(plan) == {} and plan.reset.disabled


def test_progress_shows_while_much_is_built(monkeypatch, plan):
    seen = []
    monkeypatch.setattr(plan_module, "SLOW", 10)
    plan.progress.observe(lambda change: seen.append((change.new, plan.progress.layout.display)), names="value")
    plan.control("number of nodes").value = 20
    assert [number for number, _ in seen] == [1, 2] and seen[-1][1] == ""
    assert plan.progress.layout.display == "none"


def test_an_error_that_nobody_expected_is_shown(plan):
    before = shown(plan)
    plan._build = None
    plan.control("number of nodes").value = 4
    assert "this should not have happened; TypeError" in messages(plan)["number of nodes"]
    assert shown(plan) == before
