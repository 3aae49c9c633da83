#!/bin/sh
curl http://127.0.0.1:18099/a
echo "and now b"
curl http://127.0.0.1:18099/b
