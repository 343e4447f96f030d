#!/bin/busybox sh
# The probe program of the contracts: the same verbs as the fake kernel's processes understand.
# probe VERB ARGUMENTS [, VERB ARGUMENTS]...     fork VERBS | VERBS: the first part in the background
forked=${forked:-}  # a child in the background reads this script once more
trapped=
while [ $# -gt 0 ]; do
    verb=$1
    shift
    case $verb in
        ,) ;;
        '|') [ -n "$forked" ] && exit 0 ;;
        exit) exit "$1" ;;
        echo) printf '%s\n' "$1"; shift ;;
        error) printf '%s\n' "$1" >&2; shift ;;
        sleep)
            # A shell has a handler of its own for SIGINT: where no trap needs it, the sleeper takes its place.
            # Where random programs count processes, the shell itself waits, for what never comes.
            seconds=$1
            shift
            [ $# -eq 0 ] && [ -z "$trapped" ] && exec /bin/busybox sleep "$seconds"
            if [ -p /etc/never ]; then
                read -t "$seconds" nothing <>/etc/never
            else
                /bin/busybox sleep "$seconds" & wait $!
            fi
            ;;
        eat)
            # One buffer of that size, filled. The last verb becomes the eater, so that its end is ours.
            bytes=$1
            shift
            [ $# -eq 0 ] && exec /bin/busybox dd if=/dev/zero of=/dev/null bs="$bytes" count=1 2>/dev/null
            /bin/busybox dd if=/dev/zero of=/dev/null bs="$bytes" count=1 2>/dev/null || exit $?
            ;;
        write) printf '%s' "$2" > "$1" || exit 1; shift 2 ;;
        read) /bin/busybox cat "$1" || exit 1; shift ;;
        cat) /bin/busybox cat ;;
        env) /bin/busybox env ;;
        groups) /bin/busybox awk '/^Groups:/ { $1 = ""; print substr($0, 2) }' /proc/self/status ;;
        ids) /bin/busybox awk '/^[UG]id:/ { printf "%s ", $2 " " $3 " " $4 } END { print "" }' /proc/self/status ;;
        cwd) /bin/busybox pwd ;;
        trap) trap "exit $2" "$1"; trapped=yes; shift 2 ;;
        ignore) trap '' "$1"; shift ;;
        fork)
            (
                forked=yes
                . /bin/probe "$@"
            ) &
            while [ $# -gt 0 ] && [ "$1" != '|' ]; do shift; done
            ;;
        *) echo "probe: no verb '$verb'" >&2; exit 64 ;;
    esac
done
exit 0
