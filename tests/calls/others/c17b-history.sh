curl \
   --request POST \
   --url http://127.0.0.1:18099/cont \
   \
   --header 'content-type: text/plain' \
   --data 'a "quoted" \ backslash'

curl http://127.0.0.1:18099/cont2 \
  # -H 'X-Off: 1'
curl http://127.0.0.1:18099/cont3
