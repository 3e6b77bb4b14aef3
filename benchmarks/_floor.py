"""The lowest possible cost of a packet: loops in C and Python that only receive and send it on."""

import json
import resource
import select
import socket
import subprocess
from pathlib import Path

from _common import found
from _rtp import HOST

STOP = b"stop"
SOURCE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

static double used_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

int main(int argc, char **argv) {
    int count = atoi(argv[2]), room = 4 << 20, set = epoll_create1(0);
    int *made = calloc(count, sizeof(int));
    struct sockaddr_in sink = {AF_INET, htons(atoi(argv[1])), {htonl(INADDR_LOOPBACK)}}, own;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < count; i++) {
        socklen_t size = sizeof own;
        struct epoll_event event = {EPOLLIN, {.fd = made[i] = socket(AF_INET, SOCK_DGRAM, 0)}};
        memset(&own, 0, sizeof own);
        own.sin_family = AF_INET;
        own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(made[i], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        if (bind(made[i], (struct sockaddr *)&own, size)) return 1;
        getsockname(made[i], (struct sockaddr *)&own, &size);
        printf("%s%d", i ? ", " : "[", ntohs(own.sin_port));
        epoll_ctl(set, EPOLL_CTL_ADD, made[i], &event);
    }
    printf("]\n");
    fflush(stdout);
    long forwarded = 0;
    char data[2048];
    double before = used_us();
    for (int over = 0; !over;) {
        struct epoll_event events[256] = {{EPOLLIN, {.fd = made[0]}}};
        int ready = count == 1 ? 1 : epoll_wait(set, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            ssize_t got = recv(events[i].data.fd, data, sizeof data, 0);
            if (got == 4 && !memcmp(data, "stop", 4)) { over = 1; break; }
            sendto(events[i].data.fd, data, got, 0, (struct sockaddr *)&sink, sizeof sink);
            forwarded++;
        }
    }
    printf("{\"cpu_us\": %f, \"forwarded\": %ld}\n", used_us() - before, forwarded);
    return 0;
}
"""


def compiled(folder: Path) -> Path | None:
    """Return the compiled loop in C; None if there is no compiler."""
    compiler = found("cc")
    if compiler is None:
        return None
    source, program = folder / "floor.c", folder / "floor"
    source.write_text(SOURCE, encoding="ascii")
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def loop(sink: int, count: int) -> None:
    """Run the same loop in Python, until a datagram contains `STOP`."""
    made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in made:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        each.bind((HOST, 0))
    print(json.dumps([each.getsockname()[1] for each in made]), flush=True)
    before = _used_us()
    forwarded = _one(made[0], (HOST, sink)) if count == 1 else _many(made, (HOST, sink))
    print(json.dumps({"cpu_us": _used_us() - before, "forwarded": forwarded}), flush=True)


def _used_us() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


def _one(made: socket.socket, target: tuple[str, int]) -> int:
    count = 0
    while (data := made.recv(2048)) != STOP:
        made.sendto(data, target)
        count += 1
    return count


def _many(sockets: list[socket.socket], target: tuple[str, int]) -> int:
    count, known, poll = 0, {each.fileno(): each for each in sockets}, select.epoll()
    for number in known:
        poll.register(number, select.EPOLLIN)
    while True:
        for number, _ in poll.poll(-1, 256):
            made = known[number]
            data = made.recv(2048)
            if data == STOP:
                return count
            made.sendto(data, target)
            count += 1
