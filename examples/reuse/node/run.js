// `gorgon:task/run` for hosts other than Gorgon: what a run gives its operations, set by the test.

export const given = { prepared: '', columns: [], rows: [] };

export const prepared = () => given.prepared;
export const rows = () => BigInt(given.rows.length);
export const columns = () => given.columns;
export const row = (i) => given.rows[Number(i)];
