/** The redirect address for Entra: passes the answer to the window, frame or tab that asked. */
import { broadcastResponseToMainFrame } from "@azure/msal-browser/redirect-bridge";

broadcastResponseToMainFrame().catch(() => location.replace("./"));
