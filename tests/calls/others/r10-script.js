import http from 'k6/http';
import { check } from 'k6';
export const options = { vus: 2, duration: '5s' };
export default function () {
  const res = http.get('http://127.0.0.1:18099/a');
  check(res, { ok: (r) => r.status === 200 });
}
