"""The command line beside a running daemon: the same tests, the same answers.

The tests come from the modules of each verb; here `cli` has a daemon on its state folder. Left out
are only those that are about files nobody has open.
"""

import sys

import pytest
import test_cli_catalog
import test_cli_group
import test_cli_interrupt
import test_cli_mirror
import test_cli_policy_run
import test_cli_snapshot
import test_cli_transfer
import test_cli_volume
import test_cli_vss
from daemons import ServedCli, served

MODULES = (
    test_cli_catalog,
    test_cli_group,
    test_cli_interrupt,
    test_cli_mirror,
    test_cli_policy_run,
    test_cli_snapshot,
    test_cli_transfer,
    test_cli_volume,
    test_cli_vss,
)
LEFT_OUT = {
    "test_a_changed_copy_is_restored_with_force",  # force is taken when a volume is opened
    "test_restore_modes",  # a daemon goes on moving behind: test_daemon.py
    "test_a_catalog_elsewhere",  # the daemon's catalog is the one it was started with
    "test_a_volume_whose_plex_is_gone_is_forgotten_with_force_only",  # it is open: never gone
    "test_wrong_writers",  # these two end before anybody asks the daemon
    "test_wrong_usage_and_what_is_not_there",
}

for _module in MODULES:
    for _name, _value in vars(_module).items():
        if _name.startswith("test_") and callable(_value) and _name not in LEFT_OUT:
            assert _name not in globals(), f"two tests are called {_name}"
            setattr(sys.modules[__name__], _name, _value)


@pytest.fixture
def cli(state, fork_server, tmp_path):
    """The command line with a daemon that serves its state folder."""
    line = ServedCli(state, fork_server)
    with served(line, tmp_path):
        yield line


half = test_cli_group.half
chain = test_cli_transfer.chain
noon = test_cli_snapshot.noon
verified = test_cli_catalog.verified
volume = test_cli_interrupt.volume
application = test_cli_vss.application
ticker = test_cli_vss.ticker
restored = test_cli_vss.restored
policy = test_cli_policy_run.policy
application = test_cli_policy_run.application
