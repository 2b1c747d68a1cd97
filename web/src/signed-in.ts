/** Where Entra returns to: hands the answer to whoever asked, a window, a frame or this tab. */
import { broadcastResponseToMainFrame } from "@azure/msal-browser/redirect-bridge";

broadcastResponseToMainFrame().catch(() => location.replace("./"));
