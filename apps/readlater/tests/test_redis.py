"""The client of Redis and the queue, against the real server."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import jobs
from redis import Redis, RedisError


def start_redis(folder):
    """Starts a server in that folder; returns the process and its address, once it accepts connections."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if "Ready to accept connections" in line:
                return process, f"redis://127.0.0.1:{port}"
        # Another process took the port in between.
        process.wait()
        process.stdout.close()


@unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
class TestRedis(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.start()
        self.addCleanup(lambda: self.stop())

    def start(self):
        self.process, self.url = start_redis(self.folder)
        self.redis = Redis(self.url)

    def stop(self):
        self.redis.__exit__()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def test_all_kinds_of_answers_are_read(self):
        call = self.redis.call
        self.assertEqual(call("PING"), "PONG")
        self.assertEqual(call("SET", "key", "für\r\n\0" * 10_000), "OK")
        self.assertEqual(call("GET", "key"), "für\r\n\0" * 10_000)
        self.assertIsNone(call("GET", "nothing"))
        self.assertEqual(call("RPUSH", "list", "a", "", 3), 3)
        self.assertEqual(call("LRANGE", "list", 0, -1), ["a", "", "3"])
        self.assertEqual(call("LRANGE", "none", 0, -1), [])
        with self.assertRaisesRegex(RedisError, "unknown command"):
            call("NONSENSE")

    def test_a_server_that_is_away_is_told(self):
        self.process.kill()
        self.process.wait()
        with self.assertRaises(RedisError):
            self.redis.call("PING")
        with self.assertRaises(RedisError):
            Redis(self.url)

    def test_articles_go_through_the_queue_in_order_and_once(self):
        for id in (1, 2, 1, 3):
            jobs.push(self.redis, id)
        taken = [jobs.take(self.redis, 1) for _ in range(3)]
        self.assertEqual(taken, [2, 1, 3])
        for id in taken:
            jobs.done(self.redis, id)
        self.assertEqual(self.redis.call("EXISTS", jobs.WAITING, jobs.WORKING), 0)

    def test_what_a_dead_worker_had_taken_is_worked_on_again(self):
        for id in (1, 2, 3):
            jobs.push(self.redis, id)
        self.assertEqual(jobs.take(self.redis, 1), 1)
        # And the server stops and starts again.
        self.stop()
        self.start()
        jobs.recover(self.redis, [1, 2, 3, 4])
        self.assertEqual([jobs.take(self.redis, 1) for _ in range(4)], [1, 2, 3, 4])

    def test_a_worker_is_alive_while_it_says_so(self):
        self.assertFalse(jobs.is_alive(self.redis))
        jobs.beat(self.redis)
        self.assertTrue(jobs.is_alive(self.redis))
        self.assertLessEqual(self.redis.call("TTL", jobs.ALIVE), jobs.ALIVE_SECONDS)

    def test_watchers_are_told_of_changes(self):
        changes = jobs.Changes(self.url)
        watch = changes.watch()
        jobs.done(self.redis, 1)
        self.assertTrue(next(watch))
