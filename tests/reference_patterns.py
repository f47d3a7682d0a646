"""Slow, obvious twins of the kernels of the named patterns."""

from __future__ import annotations


def sequential_test(group, failed, step_failed, step_success, upper, n_groups):
    crossed = []
    for g in range(n_groups):
        height, at = 0.0, -1
        for i in range(len(group)):
            if group[i] == g:
                height = max(0.0, height + (step_failed if failed[i] else step_success))
                if height >= upper and at < 0:
                    at = i
        crossed.append(at)
    return crossed


def unasked_replies(host, peer, is_request, is_reply, time, wait_ns):
    unasked = []
    for i in range(len(host)):
        questions = [
            time[j] for j in range(i) if is_request[j] and not is_reply[j] and host[j] == peer[i] and peer[j] == host[i]
        ]
        answers = bool(questions) and time[i] - questions[-1] <= wait_ns
        unasked.append(bool(is_reply[i]) and not is_request[i] and not answers)
    return unasked
