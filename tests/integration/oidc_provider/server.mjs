// An OpenID provider on loopback: anybody may sign in as anybody, by the provider's own dev pages.
import Provider from 'oidc-provider';

const [port, callback] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'face',
    client_secret: 'a-secret-of-the-client-and-the-provider',
    redirect_uris: [callback],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  conformIdTokenClaims: false,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  async findAccount(_, sub) {
    return {
      accountId: sub,
      async claims() {
        return { sub, email: `${sub}@example.org`, email_verified: sub === 'reader', name: sub };
      },
    };
  },
  cookies: { keys: ['a-key-for-tests'] },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
