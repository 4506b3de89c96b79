// An OpenID provider on a free port of this machine: one client, one audience, a JWT for each client-credentials grant.
// It says on stdout where it is, obeys `rotate ALG` and `withdraw` on stdin, and leaves when stdin ends.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// What the provider itself has to say goes to stderr; stdout is ours.
for (const level of ['log', 'info', 'debug', 'warn']) console[level] = console.error;
const say = (line) => process.stdout.write(`${line}\n`);

// Installed elsewhere, once per machine: the first argument says where.
const installed = createRequire(pathToFileURL(join(process.argv[2], 'package.json')));
const { default: Provider } = await import(pathToFileURL(installed.resolve('oidc-provider')));

const audience = 'https://tidewater.example.com';
const scopes = 'changes:write profiles:read pii:read';
const secret = randomBytes(32).toString('base64url');
const kinds = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};

let made = 0;
function key(alg) {
  made += 1;
  return { ...kinds[alg]().privateKey.export({ format: 'jwk' }), kid: `key-${made}`, alg, use: 'sig' };
}

function provider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    scopes: scopes.split(' '),
    clients: [
      {
        client_id: 'crm',
        client_secret: secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_post',
        scope: scopes,
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => ({
          scope: scopes,
          audience: resource,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: keys[0].alg } },
        }),
      },
    },
    extraTokenClaims: () => ({ tenant: 'acme' }),
  });
}

let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  let keys = [key('RS256')];
  const serve = () => { answer = provider(issuer, keys).callback(); };
  serve();
  say(`ISSUER=${issuer}\nAUDIENCE=${audience}\nCLIENT_ID=crm\nCLIENT_SECRET=${secret}\nREADY=yes`);
  const commands = createInterface({ input: process.stdin });
  commands.on('line', (line) => {
    const [verb, alg] = line.split(' ');
    // The newest key signs; the one before stays published until it is withdrawn.
    keys = verb === 'rotate' ? [key(alg), keys[0]] : [keys[0]];
    serve();
    say(`DONE=${line}`);
  });
  commands.on('close', () => process.exit(0));
});
