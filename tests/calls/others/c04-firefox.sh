curl 'http://127.0.0.1:18099/cart' --compressed -X POST -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0' -H 'Accept: */*' -H 'Accept-Language: de,en-US;q=0.7,en;q=0.3' -H 'Accept-Encoding: gzip, deflate, br, zstd' -H 'Content-Type: application/x-www-form-urlencoded; charset=UTF-8' -H 'X-Requested-With: XMLHttpRequest' -H 'Origin: http://127.0.0.1:18099' -H 'Connection: keep-alive' -H 'Cookie: cart=17; lang=de' --data-raw 'sku=AB-12&count=2&note=a+b%26c'

curl 'http://127.0.0.1:18099/gz' --compressed -H 'Accept: text/html'


curl 'http://127.0.0.1:18099/cart' --compressed -X DELETE -H 'Cookie: cart=17'
