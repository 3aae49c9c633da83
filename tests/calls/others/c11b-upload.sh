curl -T body.json http://127.0.0.1:18099/f6/
curl -T body.json http://127.0.0.1:18099/f7/name.json -H 'Content-Type: application/json'
