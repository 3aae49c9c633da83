# the bodies are in files beside this one
curl http://127.0.0.1:18099/f1 -H 'Content-Type: application/json' -d @body.json
curl http://127.0.0.1:18099/f2 -H 'Content-Type: application/json' --data-binary @body.json
curl http://127.0.0.1:18099/f3 --json @body.json
curl http://127.0.0.1:18099/f4 -d @form.txt -d 'more=1'
curl http://127.0.0.1:18099/f5 --data-urlencode text@form.txt
