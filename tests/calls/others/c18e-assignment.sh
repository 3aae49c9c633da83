# settings
HOST=127.0.0.1:18099
curl http://127.0.0.1:18099/a
curl "http://$HOST/b"
