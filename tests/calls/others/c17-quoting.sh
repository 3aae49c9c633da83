curl "http://127.0.0.1:18099/q1" -d "say \"hi\" for \$5, \`no\`, a\b and a\\b"
curl http://127.0.0.1:18099/q2 -d 'it'\''s '"here"' and'\ there
curl http://127.0.0.1:18099/q3 --data-raw $'tab\there\x21 \u00e9 \'q\' \\n \101 \e[0m'
curl http://127.0.0.1:18099/q4 -d "one \
line" --data-raw '
two \
lines'
curl http://127.0.0.1:18099/q5\?a=1\&b=2 -H X-Plain:\ yes
curl	http://127.0.0.1:18099/q6	-d	'tab	separated'
