#!/bin/bash
curl -s http://127.0.0.1:18099/me \
  -H 'Accept: application/json' \
  -H "Authorization: Bearer $TOKEN"
