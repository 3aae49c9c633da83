curl -fsS http://127.0.0.1:18099/a && curl -fsS http://127.0.0.1:18099/b
