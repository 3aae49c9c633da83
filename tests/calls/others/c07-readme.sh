#!/usr/bin/env bash
# How to talk to the shop.  Needs curl >= 7.82
#   curl http://127.0.0.1:18099/not-this

# 1. create   ("it's easy")
curl -s -S --fail -X POST "http://127.0.0.1:18099/orders" \
     -H "Content-Type: application/json" \
     -d '{
       "sku": "AB-12",   
       "count": 2
     }'   # makes an order

	# 2. read it, with a # in the query's value
curl -sS http://127.0.0.1:18099/orders/1?note=a#b   # gone
curl -sS http://127.0.0.1:18099/orders/2?note=%23   ;  curl -v http://127.0.0.1:18099/orders/3
curl --silent --show-error --max-time 10 --connect-timeout 2 --retry 0 -i 'http://127.0.0.1:18099/orders/4'
