# pretty
curl -s http://127.0.0.1:18099/a | jq .
