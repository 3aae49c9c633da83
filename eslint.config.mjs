// The rules for the JavaScript of the HTML report. `cargo xtask check` installs ESLint outside of the checkout and runs it.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// ESLint's packages are installed beside ESLint itself, not beside this file.
const installed = createRequire(process.argv[1]);
const js = installed('@eslint/js');
const globals = installed('globals');

// The page loads its scripts in this order, and each uses the names of those before it.
const order = ['kinds.js', 'report.js', 'live.js'];

const folder = process.env.GORGON_PAGE;
const text = name => readFileSync(`${folder}/${name}`, 'utf8');
// What a script declares outside of its functions, and how.
const declared = name => [...text(name).matchAll(/^(const|let) (\w+)/gm)].map(([, how, what]) => ({ how, what }));

const forgotten = readdirSync(folder).filter(name => name.endsWith('.js') && !order.includes(name));
if (forgotten.length) throw new Error(`eslint.config.mjs: where does the page load ${forgotten.join(', ')}?`);

const scripts = order.map((script, place) => {
  const before = order.slice(0, place).flatMap(declared);
  const after = order.slice(place + 1).map(text).join('\n');
  const used = declared(script).map(({ what }) => what).filter(what => new RegExp(`\\b${what}\\b`).test(after));
  return {
    files: [`**/${script}`],
    languageOptions: {
      ecmaVersion: 2023,
      sourceType: 'script',
      globals: {
        ...globals.browser,
        uPlot: 'readonly',
        ...Object.fromEntries(before.map(({ how, what }) => [what, how === 'let' ? 'writable' : 'readonly'])),
      },
    },
    rules: {
      ...js.configs.recommended.rules,
      // A name that only a later script uses is in use.
      'no-unused-vars': ['error', { varsIgnorePattern: `^(${used.join('|')})$` }],
      // `== null` means null or undefined; every other comparison is exact.
      'eqeqeq': ['error', 'always', { null: 'ignore' }],
      'no-var': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
      // A declaration that hides another one reads as the other one.
      'no-shadow': 'error',
      'no-implied-eval': 'error',
      'no-eval': 'error',
      'no-throw-literal': 'error',
      'no-loop-func': 'error',
      'array-callback-return': 'error',
      'no-template-curly-in-string': 'error',
      'no-self-compare': 'error',
      'no-unmodified-loop-condition': 'error',
      'strict': ['error', 'global'],
      // The report shows text of guests: it is set as text, and never parsed as HTML.
      'no-restricted-properties': ['error',
        ...['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'write', 'writeln'].map(property => ({ property })),
      ],
    },
  };
});

export default scripts;
