# SPDX-License-Identifier: Apache-2.0
"""A unix socket before Postgres, whose connections can become half open: neither side hears from the other or of its end."""
import os
import selectors
import socket
import threading


class Relay:
    def __init__(self, dir, target):
        """Listens below dir, which is made, for what libpq calls a host; target: the host of the server."""
        self.name = os.path.join(target, ".s.PGSQL.5432")
        os.makedirs(dir)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(dir, ".s.PGSQL.5432"))
        os.chmod(dir, 0o755)
        os.chmod(os.path.join(dir, ".s.PGSQL.5432"), 0o777)
        self.listener.listen(64)
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake, self.waker = socket.socketpair()
        self.selector.register(self.wake, selectors.EVENT_READ)
        self.frozen = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                with self.lock:
                    if key.fileobj is self.wake:
                        self.end()
                        return
                    if key.fileobj is self.listener:
                        self.accept()
                    elif key.fileobj.fileno() >= 0 and key.fileobj in self.selector.get_map():  # its other end may have closed it in this turn
                        self.pass_on(key.fileobj, key.data)

    def accept(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.name)
        except OSError:  # no server: the client hears the end
            client.close()
            server.close()
            return
        self.selector.register(client, selectors.EVENT_READ, server)
        self.selector.register(server, selectors.EVENT_READ, client)

    def pass_on(self, source, to):
        try:
            data = source.recv(65536)
            if data:
                to.sendall(data)
                return
        except OSError:
            pass
        for s in (source, to):
            self.selector.unregister(s)
            s.close()

    def freeze(self):
        """What is connected now stays open and silent; how many connections. New ones work."""
        with self.lock:
            halves = [k.fileobj for k in self.selector.get_map().values() if k.data]
            for s in halves:
                self.selector.unregister(s)
            self.frozen += halves
            return len(halves) // 2

    def end(self):
        for s in self.frozen + [k.fileobj for k in list(self.selector.get_map().values())]:
            s.close()
        self.selector.close()

    def close(self):
        self.waker.send(b"x")
        self.thread.join()
        self.waker.close()
