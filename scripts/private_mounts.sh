#!/usr/bin/env bash
# Run COMMAND with mounts of its own: scripts/private_mounts.sh COMMAND ...
#
# Tests mount a lot. In a mount namespace of its own a run that is killed takes its mounts with it, and what an earlier
# run left (a loop device on a FUSE file whose server is dead makes mkfs.btrfs refuse every image) is out of its way.
# Nothing outside is unmounted. Without root the command runs as it is: those tests skip then.
set -euo pipefail

# Runs inside only.
leave_leftovers() {
    local leftovers place
    leftovers=$(findmnt --raw --noheadings --output TARGET | grep -E "^${TMPDIR:-/tmp}/(exshadow-|pytest-of-)" | tac || true)
    while read -r place; do
        [[ -z $place ]] || umount --lazy "$place" || true
    done <<<"$leftovers"
}

if unshare --mount --propagation private true 2>/dev/null; then
    exec unshare --mount --propagation private -- bash -c "$(declare -f leave_leftovers); leave_leftovers; exec \"\$@\"" bash "$@"
fi
exec "$@"
