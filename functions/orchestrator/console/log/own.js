/** Tells the lines that runvoy prints into a log from those of the command. */

/** What lines of runvoy's own begin with. */
export const OWN = "### runvoy";
