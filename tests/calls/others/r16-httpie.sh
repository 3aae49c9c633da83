http POST http://127.0.0.1:18099/a name=ann
