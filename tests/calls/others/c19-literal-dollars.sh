curl 'http://127.0.0.1:18099/price?$top=5&$filter=a' -H 'X-Cost: $5'
curl http://127.0.0.1:18099/odata/\$metadata -d "costs 5$ or \$6" -H "X-End: 5$"
curl http://127.0.0.1:18099/jq -d '{"q":"$(whoami) `id` ${HOME} $TOKEN"}'
