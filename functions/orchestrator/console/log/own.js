/** Tells the lines that runvoy prints into a log from those of the command. */

/** The beginning of the lines that runvoy prints itself. */
export const OWN = "### runvoy";
