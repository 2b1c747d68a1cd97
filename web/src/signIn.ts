/** Signing in with Entra: a redirect where the page is alone, a window of its own in a frame. */
import {
  type AccountInfo,
  InteractionRequiredAuthError,
  PublicClientApplication,
} from "@azure/msal-browser";
import type { Config } from "./config";

const ASKED = "mentor-calendar.claims";
const ASK_AGAIN_AFTER_MS = 30_000;

/** A sign-in by the person is needed. */
export class SignInNeeded extends Error {}

export class SignIn {
  private constructor(
    private readonly msal: PublicClientApplication,
    private readonly scope: string,
  ) {}

  /** Start, and take the result of a redirect. */
  static async start(settings: Config["signIn"]): Promise<SignIn> {
    const msal = new PublicClientApplication({
      auth: {
        clientId: settings.clientId,
        authority: settings.authority,
        // Known authorities need no request to login.microsoftonline.com.
        knownAuthorities: [new URL(settings.authority).host],
        redirectUri: new URL("signed-in.html", document.baseURI).href,
        postLogoutRedirectUri: new URL("./", document.baseURI).href,
        // Entra may then refuse with a claims challenge, which this page can meet.
        clientCapabilities: ["CP1"],
      },
      cache: { cacheLocation: "sessionStorage" },
    });
    await msal.initialize();
    const answer = await msal.handleRedirectPromise();
    const account = answer?.account ?? msal.getActiveAccount() ?? msal.getAllAccounts()[0];
    if (account) msal.setActiveAccount(account);
    return new SignIn(msal, settings.scope);
  }

  get account(): AccountInfo | null {
    return this.msal.getActiveAccount();
  }

  /** Return a token for the API. Raises SignInNeeded. */
  async token(): Promise<string> {
    const account = this.account;
    if (!account) throw new SignInNeeded();
    try {
      const found = await this.msal.acquireTokenSilent({
        scopes: [this.scope],
        account,
      });
      return found.accessToken;
    } catch (error) {
      if (error instanceof InteractionRequiredAuthError) throw new SignInNeeded();
      throw error;
    }
  }

  /** Let the person sign in, with another sign-in's *claims* if Entra asked for them. */
  async now(claims?: string): Promise<void> {
    const hint = this.account?.username;
    const request = {
      scopes: [this.scope],
      ...(claims && { claims }),
      ...(hint && { loginHint: hint }),
    };
    if (window.self === window.top) return this.msal.loginRedirect(request);
    const answer = await this.msal.loginPopup(request);
    this.msal.setActiveAccount(answer.account);
  }

  /**
   * Meet a claims challenge if possible without a click. Returns whether it is in progress.
   * Not in a frame, where browsers open windows only after clicks; not twice in a row.
   */
  async meet(claims: string): Promise<boolean> {
    const askedAt = Number(sessionStorage.getItem(ASKED) ?? 0);
    if (window.self !== window.top || Date.now() - askedAt < ASK_AGAIN_AFTER_MS) return false;
    sessionStorage.setItem(ASKED, String(Date.now()));
    await this.now(claims);
    return true;
  }

  async out(): Promise<void> {
    const request = { account: this.account };
    if (window.self === window.top) await this.msal.logoutRedirect(request);
    else await this.msal.logoutPopup(request);
  }
}
