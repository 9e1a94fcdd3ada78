// What a person sees and does on the dashboard, in a real browser: `node dashboard.mjs FUNCTION`, with the address in
// `ADMIN` and the key in `ADMIN_KEY`. Prints `ok`, or fails.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { ADMIN: admin, ADMIN_KEY: key } = process.env;
const executablePath = execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAGES = ["/admin", "/admin/stories.html", "/admin/why.html", "/admin/report.html", "/admin/events.html", "/admin/replicas.html", "/admin/config.html"];

// A browser whose pages load nothing from elsewhere, break no policy and log no error; all of it is claimed at the end.
async function browse(test, options = {}) {
  // Tests may run as root, where the sandbox of the browser does not.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const context = await browser.newContext({ baseURL: admin, viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(15000);
    const [elsewhere, errors] = [[], []];
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.origin !== admin) elsewhere.push(request.url());
    });
    context.on("console", (message) => {
      if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) errors.push(message.text());
    });
    context.on("weberror", (error) => errors.push(String(error.error())));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const page = await context.newPage();
    await test(page, context, errors);
    assert.deepEqual(elsewhere, [], "nothing is loaded from elsewhere");
    assert.deepEqual(errors, [], "no errors and no violations");
  } finally {
    await browser.close();
  }
}

async function signIn(page) {
  await page.goto("/admin");
  await page.getByLabel("Key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

// Waits for a first snapshot.
const live = (page) => page.waitForFunction(() => Number(document.documentElement.dataset.snapshots) > 0);

const cell = (page, table, row, column) => page.evaluate(([table, row, column]) => {
  const heads = [...document.querySelectorAll(`#t-${table} thead th`)].map((head) => head.textContent);
  const found = document.querySelector(`#t-${table} tr[data-key="${row}"]`);
  return found?.cells[heads.indexOf(column)].textContent;
}, [table, row, column]);

async function claimAccessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const shown = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n  ")}`);
  assert.deepEqual(shown, [], what);
}

const tests = {
  async signs_in_and_out() {
    await browse(async (page, context) => {
      await page.goto("/admin/config.html");
      assert.equal(new URL(page.url()).pathname, "/admin/login");
      await page.getByLabel("Key").fill("another");
      await page.getByRole("button", { name: "Sign in" }).click();
      assert.match(await page.getByRole("alert").textContent(), /not the key/);
      await signIn(page);
      const [cookie] = await context.cookies();
      assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/admin"]);
      assert.ok(!(await page.content()).includes(key));
      assert.equal((await context.request.get("/metrics")).status(), 401, "the session is for the pages alone");
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await context.addCookies([cookie]);
      await page.goto("/admin");
      assert.equal(new URL(page.url()).pathname, "/admin/login", "the session is over");
    });
  },

  // Requests go on while this runs.
  async shows_live_values() {
    await browse(async (page) => {
      await signIn(page);
      await live(page);
      await page.waitForFunction(() => Number.parseFloat(document.querySelector('#t-providers tr[data-key="a"] td:nth-child(7)').textContent) > 1);
      const before = await page.locator("#f-uptime").textContent();
      await page.waitForFunction((before) => document.getElementById("f-uptime").textContent !== before, before);
      await page.waitForFunction(() => document.querySelector('#t-providers tr[data-key="bad"] .state').textContent === "ejected");
      assert.match(await cell(page, "providers", "bad", "Why, or the latest error"), /<b>no<\/b>/);
      assert.match(await cell(page, "providers", "a", "p50"), /ms/);
      await page.waitForFunction(() => document.querySelectorAll("#t-latest tbody tr").length > 0);
      assert.match(await page.locator("#t-latest tbody tr").first().textContent(), /bad: failed/);
      await page.waitForFunction(() => /now [1-9]/.test(document.querySelector("#charts .legend").textContent));
      const announced = await page.evaluate(() => [...document.querySelectorAll("[aria-live]")].every((node) => node.classList.contains("state")));
      assert.ok(announced, "changes of state are read out, and nothing else in tables");
      await page.locator("#pause").click();
      const held = await page.locator("#f-uptime").textContent();
      await page.waitForTimeout(1500);
      assert.equal(await page.locator("#f-uptime").textContent(), held, "a paused page stands still");
      // From a failover to its course in words.
      await page.locator("#t-latest tbody a").first().click();
      await page.getByRole("heading", { name: "Why" }).waitFor();
      assert.match(await page.locator(".course").textContent(), /Attempt 1 at bad: failed/);
      await claimAccessible(page, "the course of a request");
      await page.goto("/admin/stories.html?outcome=failed_over&provider=bad");
      assert.ok((await page.locator("#t-stories tbody tr").count()) > 0);
      await page.getByLabel("Client", { exact: true }).fill("nobody");
      await page.getByRole("button", { name: "Search" }).click();
      await page.getByText("None that is kept fits.").waitFor();
    });
  },

  async works_without_script() {
    await browse(async (page) => {
      await signIn(page);
      assert.match(await page.locator("#t-providers").textContent(), /admitted/);
      assert.equal(await page.locator("#charts svg[role=img]").count(), 7);
      assert.equal(await page.locator("input[type=search]").first().isVisible(), false, "what needs the script is hidden");
    }, { javaScriptEnabled: false });
  },

  async refuses_forms_of_others() {
    await browse(async (page, context) => {
      await signIn(page);
      await page.goto("/admin/config.html");
      const token = await page.locator('input[name="token"]').first().inputValue();
      const post = async (form, headers = {}) => (await context.request.post("/admin/act", { form, headers, maxRedirects: 0 })).status();
      const reload = { act: "reload", confirm: "yes", token };
      assert.equal(await post({ ...reload, token: "guessed" }), 403);
      assert.equal(await post({ ...reload, token: "" }), 403);
      assert.equal(await post(reload, { origin: "http://evil.example" }), 403);
      assert.equal(await post(reload, { "sec-fetch-site": "same-site" }), 403);
      assert.equal(await post({ act: "drain", token }), 400, "without a confirmation nothing is done");
      // A page of elsewhere, in the same browser: its form comes without the cookie.
      const other = await context.newPage();
      await other.goto(`data:text/html,<form method=post action="${admin}/admin/act"><input name=act value=drain><input name=confirm value=yes><input name=token value="${token}"></form>`);
      await Promise.all([other.waitForURL(/\/admin\/login$/), other.evaluate(() => document.forms[0].submit())]);
      await other.close();
      await page.reload();
      assert.match(await page.locator("#t-reloads + p").textContent(), /None since the start/);
      assert.equal(await post(reload), 200, "an own form counts");
    });
  },

  async keeps_its_policy() {
    await browse(async (page, context, errors) => {
      for (const path of ["/admin/login", ...PAGES]) {
        if (path === "/admin") await signIn(page);
        const headers = (await page.goto(path)).headers();
        const policy = headers["content-security-policy"];
        for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) {
          assert.ok(policy.includes(rule), `${path}: ${rule}`);
        }
        assert.ok(!policy.includes("unsafe"));
        assert.deepEqual([headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"]], ["nosniff", "same-origin", "no-store"]);
        assert.equal(await page.evaluate(() => document.querySelectorAll("[style], [onclick], script:not([src]), style").length), 0);
      }
      assert.deepEqual(errors, []);
      await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "window.intruder = true";
        document.body.append(script);
      });
      assert.equal(await page.evaluate(() => window.intruder), undefined, "an injected script does not run");
      assert.ok(errors.splice(0).some((error) => error.includes("policy: script-src")), "and is reported");
    });
  },

  async obeys_the_keyboard() {
    await browse(async (page) => {
      await signIn(page);
      await live(page);
      await page.goto("/admin");
      await live(page);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the contents");
      await page.keyboard.press("Enter");
      assert.equal(new URL(page.url()).hash, "#main");
      const sort = page.locator("#t-providers thead button", { hasText: "Req/s" });
      await sort.focus();
      const outline = await sort.evaluate((button) => getComputedStyle(button).outlineStyle);
      assert.notEqual(outline, "none", "focus is seen");
      await page.keyboard.press("Enter");
      const order = () => page.locator('#t-providers th[aria-sort]').getAttribute("aria-sort");
      assert.equal(await order(), "descending");
      await page.keyboard.press("Space");
      assert.equal(await order(), "ascending");
      const first = () => page.locator("#t-providers tbody tr").first().getAttribute("data-key");
      await page.locator("#t-providers thead button", { hasText: "Provider" }).press("Enter");
      assert.equal(await first(), "a");
      await page.locator("#t-providers thead button", { hasText: "Provider" }).press("Enter");
      assert.equal(await first(), "bad");
      await page.goto("/admin/config.html");
      await page.locator("summary", { hasText: "Reload" }).focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Space");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.getByText("is in force").waitFor();
      await page.getByRole("link", { name: "Back" }).click();
      assert.match(await page.locator("#t-reloads tbody tr").first().textContent(), /dashboard/);
    });
  },

  async is_accessible_in_light_and_dark_and_large() {
    await browse(async (page) => {
      await page.goto("/admin");
      await claimAccessible(page, "signing in");
      await signIn(page);
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const seen = [];
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        for (const path of PAGES) {
          await page.goto(path);
          if (path === "/admin") await live(page);
          await claimAccessible(page, `${path} in ${colorScheme}`);
        }
        assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("button")).transitionDuration), "0s");
        seen.push(await background());
      }
      assert.notEqual(seen[0], seen[1], "dark is another colour");
      // 200 % of a window of 1280 pixels, and a telephone.
      for (const [width, height] of [[640, 450], [360, 700]]) {
        await page.setViewportSize({ width, height });
        for (const path of PAGES) {
          await page.goto(path);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(wide <= 0, `${path} at ${width}: ${wide} pixels too wide`);
          assert.ok(await page.getByRole("heading", { level: 1 }).isVisible());
        }
      }
    });
  },

  async carries_a_thousand_providers() {
    await browse(async (page) => {
      await signIn(page);
      await page.evaluate(() => {
        globalThis.longest = 0;
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
        }).observe({ type: "longtask" });
      });
      await live(page);
      assert.equal(await page.locator("#t-providers tbody tr").count(), 1000);
      const snapshots = () => page.evaluate(() => Number(document.documentElement.dataset.snapshots));
      const before = await snapshots();
      await page.waitForFunction((before) => Number(document.documentElement.dataset.snapshots) >= before + 4, before);
      const longest = await page.evaluate(() => globalThis.longest);
      assert.ok(longest < 500, `an update blocks the page for ${longest} ms`);
      const filter = page.getByLabel("Show providers with");
      await filter.fill("p00099");
      await page.getByText("1 of 1000").waitFor();
      assert.equal(await page.locator("#t-providers tbody tr:visible").count(), 1);
      await filter.fill("");
      await page.locator("#t-providers thead button", { hasText: "Provider" }).click();
      await page.locator("#t-providers thead button", { hasText: "Provider" }).click();
      assert.equal(await page.locator("#t-providers tbody tr").first().getAttribute("data-key"), "p00999");
    });
  },
};

await tests[process.argv[2]]();
console.log("ok");
