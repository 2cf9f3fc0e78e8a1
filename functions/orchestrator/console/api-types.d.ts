// Written by .ci/console-types from docs/openapi.json.

/** The approvals of an execution: those that it needs, and those that it has. */
export type Approval = {
  /** E-mail addresses, and roles as `role:operator`. */
  by?: string[];
  count: number;
  /** The execution has failed if it still waits then. */
  expires_at: string;
  given?: Decision[];
};

/** The approvals that runs of a playbook need before they start. */
export type Approvals = {
  /** E-mail addresses, and roles as `role:operator`. Admins may approve in any case. */
  by?: string[];
  /** The number of people who must approve; 1 if absent. The one who asks for the run is never one of them. */
  count?: number;
  expires?: Span | null;
};

/** The part of a run's request that everyone sees who sees the execution: names, and no values. */
export type Asked = {
  /** The executions that had to end before it could start. */
  after?: string[];
  /** CPU units of this run, if not the image's; 1024 make one virtual CPU. */
  cpu?: number | null;
  /** Seconds after the request within which it has to end. */
  deadline?: number | null;
  /** GiB of disk, if not the 20 that each task has. */
  disk?: number | null;
  /** The commit that was checked out. */
  git_commit?: string | null;
  git_path?: string | null;
  git_ref?: string | null;
  /** Without the credentials that the URL may have had. */
  git_repo?: string | null;
  if?: RunIf | null;
  /** MiB of memory of this run, if not the image's. */
  memory?: number | null;
  on_conflict?: OnConflict | null;
  /** The published playbook that a schedule ran, with its version: `restart@3`. */
  playbook_version?: string | null;
  retry?: Retry | null;
  /** Names of the secrets. */
  secrets?: string[];
  /** The number of slots that its lock was to have. */
  slots?: number | null;
  /** Where the request came from: `api`, `playbook:NAME@VERSION` or `schedule:NAME`. */
  source?: string;
  /** The task runs on Fargate Spot, which costs less and may be taken away. */
  spot?: boolean;
  /** Seconds after which the command is stopped. */
  timeout?: number | null;
  /** Names of the environment variables. */
  variables?: string[];
};

/** A run's request as it can be sent again, with `left_out` given anew. */
export type AskedAgain = {
  command: string;
  cpu?: number | null;
  deadline?: number | null;
  disk?: number | null;
  env: Record<string, string>;
  git_path?: string | null;
  git_ref?: string | null;
  git_repo?: string | null;
  /** The id of the image. Absent where the default image was asked for and there was none. */
  image?: string | null;
  /** Names of variables whose values are not kept, because the names say that they are secrets or because the time for which values are kept is over. */
  left_out: string[];
  memory?: number | null;
  retry?: Retry | null;
  secrets: string[];
  spot?: boolean;
  timeout?: number | null;
};

/** A page of the audit. */
export type Audit = {
  entries: AuditEntry[];
};

/** One entry, as the API shows it. */
export type AuditEntry = {
  /** As `resource:verb`, such as `secrets:read`. */
  action: string;
  /** An e-mail address, or the name of what acts without a user. */
  actor: string;
  /** Names that say more: of variables, of a repository, of an image. */
  details?: Record<string, unknown>;
  key_id?: string | null;
  outcome: Outcome;
  request_id?: string;
  /** As `kind:name`, such as `secret:prod`. */
  resource: string;
  source_address?: string | null;
  time: string;
};

/** Users, and the owners of images, secrets and executions that have not ended. Resources are named `kind:id`. */
export type AuthorizerStatus = {
  /** Creators who do not own what they created: `kind:id:creator`. */
  missing_ownerships: string[];
  /** Owners who are not users: `kind:id:owner`. */
  orphaned_ownerships: string[];
  resources_with_missing_owners: string[];
  total_resources_checked: number;
  total_users_checked: number;
  users_with_invalid_roles: string[];
  users_with_missing_roles: string[];
};

/** The result of a publication for a schedule of the playbook. */
export type BroughtSchedule = {
  change: ScheduleOutcome;
  name: string;
  /** The next time, unless it is paused, over or deleted. */
  next_at?: string | null;
};

/** Where a notification goes. */
export type Channel = {
  /** A signed `POST`. */
  webhook: {
    /** `https://…` */
    url: string;
  };
} | ({
  /** An incoming webhook of Slack, or of a program that takes the same. */
  slack: {
    /** It is as good as a password, so that no answer has it. */
    url?: string | null;
  };
}) | {
  /** A mail, once the recipient has confirmed the address. */
  email: {
    address: Email;
  };
};

/** The text of a file that is to be checked. */
export type CheckPlaybook = {
  /** The text of a playbook's file, in YAML. */
  file: string;
};

/** A file that is right. */
export type CheckedPlaybook = {
  /** The playbook as it can be published. */
  playbook: Playbook;
};

/** The key that a claim hands over, once. */
export type Claimed = {
  api_key: string;
  message: string;
  user_email: Email;
};

/** Task definitions of images, and tasks of executions that have not ended. */
export type ComputeStatus = {
  orphaned_count: number;
  /** Families of task definitions that belong to no image. */
  orphaned_resources: string[];
  recreated_count: number;
  tag_updated_count: number;
  total_resources: number;
  verified_count: number;
};

/** A key to be made. */
export type CreateKey = {
  /** Seconds after which the key stops working; never if absent or 0. */
  expires_in?: number | null;
  /** For whom or what the key is. */
  name: string;
  scope?: KeyScope | null;
};

/** A notification to be created. */
export type CreateNotification = {
  channel: Channel;
  for?: NotificationFor | null;
  name: string;
  /** `failed` and `recovered` if absent. */
  on?: NotificationEvent[] | null;
  /** Seconds after which an execution is slow; twice as long as its series usually takes if absent or 0. */
  slow_after?: number | null;
};

/** A schedule to be created. One of `cron`, `rate` and `at` is given, and one of `run` and `playbook`. */
export type CreateSchedule = {
  /** One time on the clock of the zone, such as `2027-01-31T09:00`. */
  at?: string | null;
  /** Five fields as in crontab, or six as in AWS, with `L`, `W` and `#` as AWS has them. */
  cron?: string | null;
  enabled?: boolean | null;
  name: string;
  on_missed?: OnMissed | null;
  playbook?: ScheduledPlaybook | null;
  /** A number of minutes, hours or days, such as `5 minutes`. The first time is now. */
  rate?: string | null;
  run?: ScheduledRun | null;
  /** Of the IANA database; UTC if absent. */
  timezone?: string | null;
};

/** A secret to be created. */
export type CreateSecret = {
  description?: string | null;
  /** The environment variable under which a run sees the value. */
  key_name: string;
  name: string;
  /** 1 to 4096 bytes. */
  value: string;
};

/** A user to be created. */
export type CreateUser = {
  /** Refused unless it is empty: a key is generated when the user claims it, so that nobody else knows it. */
  api_key?: string | null;
  email: string;
  role: Role;
};

/** A new key. */
export type CreatedKey = {
  /** The key itself. It is not shown again. */
  api_key: string;
  key: Key;
};

/** A notification that was created. */
export type CreatedNotification = {
  notification: Notification;
  /** The key by which a webhook's receiver checks signatures. No other answer has it. */
  signing_secret?: string | null;
};

/** A new user, with the claim of their key. */
export type CreatedUser = {
  /** For `GET /api/v1/claim/{token}`: works once, within 15 minutes. */
  claim_token: string;
  /** The page on which the user claims the key, by the press of a button. */
  claim_url: string;
  user: User;
};

/** A request to approve or to deny. */
export type Decide = {
  comment?: string | null;
};

/** An execution after a decision. */
export type Decided = {
  execution_id: string;
  message: string;
  status: Status;
};

/** The decision of a person about an execution. */
export type Decision = {
  at: string;
  by: Email;
  comment?: string | null;
};

/** A key that works no more. */
export type DeletedKey = {
  key_id: string;
  message: string;
};

/** A lock that is deleted. */
export type DeletedLock = {
  message: string;
  name: string;
};

/** A notification that was deleted. */
export type DeletedNotification = {
  message: string;
  name: string;
};

/** A playbook that is deleted. */
export type DeletedPlaybook = {
  message: string;
  name: string;
  /** The schedules of the playbook, which are deleted with it. */
  schedules?: BroughtSchedule[];
};

/** The schedule that is gone. */
export type DeletedSchedule = {
  message: string;
  name: string;
};

/** The secret that is gone. */
export type DeletedSecret = {
  message: string;
  name: string;
};

/** A page of deliveries. */
export type Deliveries = {
  deliveries: Delivery[];
};

/** One message of a notification, and how far it has come. */
export type Delivery = {
  /** The beginning of what the receiver said, or why there is no answer. */
  answer?: string | null;
  /** The number of tries. */
  attempts: number;
  event: NotificationEvent;
  execution_id?: string | null;
  /** The id of the change, which each try has, and each notification of the same change. */
  id: string;
  /** When it is tried again, while it is. */
  next_try_at?: string | null;
  state: DeliveryState;
  /** The receiver's status code. */
  status_code?: number | null;
  /** The time of the change. */
  time: string;
  /** The time of the last try. */
  tried_at: string;
};

/** The state of a delivery. */
export type DeliveryState = "sending" | "delivered" | "retrying" | "failed" | "skipped";

/** An attempt that was followed by another one. */
export type EarlierAttempt = {
  /** The estimated cost of the attempt's task in US dollars. */
  cost_estimate_usd?: number | null;
  ended_at: string;
  /** The exit code of its command, if that has run. */
  exit_code?: number | null;
  /** Counts from 1. */
  number: number;
  /** Why another attempt followed. */
  on: RetryOn;
  /** Its end, in words for a person. */
  reason: string;
  started_at: string;
  /** The id of its ECS task. Absent if it got none. */
  task_id?: string | null;
};

/** An e-mail address in lower case. It has only characters that the value of an ECS tag may have, because tasks are tagged with it, and 254 characters at most. */
export type Email = string;

/** The end of a command whose task has not ended yet. */
export type Ending = {
  /** The time of the command's end. */
  at?: string | null;
  exit_code: number;
};

/** The body of every answer that is not a success. */
export type ErrorBody = {
  /** The kind of error, for programs. */
  code?: string | null;
  /** The problem and the remedy, for people. */
  details?: string | null;
  /** The problem, in a short sentence. */
  error: string;
  /** The path of the input that is wrong, such as `env.PORT`, for programs. */
  field?: string | null;
  /** The remedy, for people. `details` repeats it. */
  hint?: string | null;
};

/** An execution as the API lists it. */
export type Execution = Asked & ({
  approval?: Approval | null;
  /** The number of the present attempt, for an execution that waited before its task was started, or that may have several. */
  attempt?: number | null;
  /** The attempts that have ended, the oldest first. The present one, or the last, is not among them: the execution itself shows it. */
  attempts?: EarlierAttempt[];
  cloud: string;
  command: string;
  completed_at?: string | null;
  /** The cost of the task in US dollars, estimated from its size and the seconds that Fargate bills. Absent in regions whose prices are not known. */
  cost_estimate_usd?: number | null;
  created_by: Email;
  created_by_request_id: string;
  duration_seconds?: number | null;
  ending?: Ending | null;
  execution_id: string;
  /** `null` until completed. */
  exit_code?: number | null;
  image_id: string;
  /** The locks that it holds until it ends, or waits for. */
  lock?: string[];
  log_stream_name?: string | null;
  modified_by_request_id: string;
  /** The time before which the next attempt does not begin, while it is `QUEUED` for that. */
  next_attempt_at?: string | null;
  owned_by: Email[];
  /** Why the execution failed or was stopped, in words for a person. */
  reason?: string | null;
  started_at: string;
  status: Status;
  /** Why the execution ended, when it was not its command that failed: in the words of ECS, or in runvoy's for one that was stopped or never started. */
  stopped_reason?: string | null;
  timing?: Timing | null;
  /** The thing that it waits for, while it is `WAITING` or `QUEUED`, in words for a person. */
  waits_for?: string | null;
});

/** An execution as `GET /executions/{id}` shows it. */
export type ExecutionInFull = Execution & ({
  /** Its place in the line of the lock that it waits for, counted from 1. */
  queue_position?: number | null;
  request?: AskedAgain | null;
});

/** The present status of an execution. */
export type ExecutionStatus = {
  command: string;
  completed_at?: string | null;
  ending?: Ending | null;
  execution_id: string;
  exit_code?: number | null;
  image_id: string;
  /** Why the execution failed or was stopped, in words for a person. */
  reason?: string | null;
  started_at: string;
  status: Status;
  /** Why the task failed, when it was not its command that did. */
  stopped_reason?: string | null;
};

/** The version that answers, and its region. */
export type Health = {
  provider: string;
  region: string;
  status: string;
  version: string;
};

/** IAM roles that tasks use. */
export type IdentityStatus = {
  custom_roles_total: number;
  custom_roles_verified: number;
  default_roles_verified: boolean;
  missing_roles: string[];
};

/** A registered image, as the API shows it. */
export type Image = {
  /** CPU units; 1024 make one virtual CPU. */
  cpu: number;
  created_at: string;
  created_by: Email;
  created_by_request_id: string;
  /** The image as ECS pulls it. */
  image: string;
  /** `name:tag-xxxxxxxx`; the same registration twice has the same id. */
  image_id: string;
  image_name: string;
  image_registry: string;
  image_tag: string;
  is_default?: boolean;
  /** MiB. */
  memory: number;
  modified_by_request_id: string;
  owned_by: Email[];
  /** `Linux/ARM64` or `Linux/X86_64`. */
  runtime_platform: string;
  /** The security groups of its tasks, where they are not the stack's. */
  security_groups?: string[];
  /** Users and roles (`role:developer`) that may use it; everyone whose role allows it if absent. */
  shared_with?: string[] | null;
  /** Family of the ECS task definition. */
  task_definition_name: string;
  task_execution_role_name?: string | null;
  task_role_name?: string | null;
};

/** An image that was registered or removed. */
export type ImageAnswer = {
  /** The image as the request named it. */
  image: string;
  image_id: string;
  message: string;
};

/** A page of images. */
export type Images = {
  images: Image[];
};

/** One thing that is not as it should be. */
export type Issue = {
  /** The action that was taken, or that is to be taken. */
  action: string;
  message: string;
  resource_id: string;
  resource_type: string;
  severity: Severity;
};

/** A key as the API lists it, which never shows the key itself. */
export type Key = {
  created_at: string;
  email: Email;
  expires_at?: string | null;
  key_id: string;
  last_used?: string | null;
  name: string;
  scope?: KeyScope | null;
};

/** Limits a key to some of what its user's role allows. An absent part limits nothing. */
export type KeyScope = {
  /** As `GET /me` names them, such as `executions:run`. */
  actions?: string[] | null;
  /** Names of published playbooks that the caller may see. */
  playbooks?: string[] | null;
};

/** A page of a user's keys. */
export type Keys = {
  keys: Key[];
};

/** An execution that is being stopped. */
export type Killed = {
  execution_id: string;
  message: string;
};

/** A user as the list has one. */
export type ListedUser = User & {
  /** The user has an API key. One who has none has not claimed it yet, or has deleted the last one. */
  claimed?: boolean;
};

/** A lock, as lists show it. */
export type Lock = {
  /** The number of executions that hold it. */
  held: number;
  /** The largest number of executions that may wait for it; no limit if absent. One that has got other locks before waits beyond it. */
  max_queue?: number | null;
  name: string;
  /** While it is paused, it is given to no execution. */
  paused: boolean;
  /** The number of executions that may hold it at the same time. */
  slots: number;
  /** The number of executions that wait for it. */
  waiting: number;
};

/** A lock with the executions that hold it, and those that wait for it, first come first. */
export type LockInFull = Lock & {
  holders: LockUse[];
  queue: LockUse[];
};

/** An execution that holds a lock or waits for it. */
export type LockUse = {
  /** The user who started the execution. */
  created_by: Email;
  execution_id: string;
  /** The place in line, counted from 1. Absent for a holder. */
  position?: number | null;
  /** Since when it holds the lock, or waits for it. */
  since: string;
};

/** The locks of a stack. */
export type Locks = {
  locks: LockInFull[];
};

/** One line of a log. */
export type LogEvent = {
  /** CloudWatch's id of the line. The text order of ids is the order of the lines. */
  event_id: string;
  /** The command's exit code, on the runner's last line only. A line that the command printed itself never has it. */
  exit_code?: number | null;
  message: string;
  /** Milliseconds since 1970. */
  timestamp: number;
};

/** The log of an execution that has ended, or where to follow one that has not. */
export type Logs = {
  /** Of an execution that has ended: whether its log has been compared with CloudWatch Logs to its end. Otherwise lines may be missing, and each later request compares more of it. */
  complete?: boolean | null;
  /** `null` until the execution ends or is being stopped, unless lines after one of them are asked for. */
  events?: LogEvent[] | null;
  execution_id: string;
  status: Status;
  /** The WebSocket on which to follow an execution that has not ended. */
  websocket_url?: string | null;
};

/** Who the caller is, and what they may do. */
export type Me = {
  email: Email;
  /** The actions that the user may do to any resource, as `resource:verb`. An owner may do more to what they own. */
  permissions: string[];
  role: Role;
};

/** An answer that says that something was done. */
export type Message = {
  message: string;
};

/** The next times of a schedule. */
export type NextTimes = {
  /** RFC 3339 in UTC. */
  times: string[];
};

/** A notification as the API shows it. */
export type Notification = {
  channel: Channel;
  created_at: string;
  created_by: Email;
  created_by_request_id: string;
  for?: NotificationFor;
  modified_by_request_id: string;
  name: string;
  on: NotificationEvent[];
  owned_by: Email[];
  paused_reason?: string | null;
  /** Seconds after which an execution is slow. Absent: when it takes twice as long as its series usually does. */
  slow_after?: number | null;
  state: NotificationState;
  updated_at: string;
  updated_by: Email;
};

/** One notification. */
export type NotificationAnswer = {
  notification: Notification;
};

/** A change of an execution that a notification can tell of. */
export type NotificationEvent = "failed" | "recovered" | "slow" | "not_started" | "waiting" | "succeeded" | "test";

/** The executions that a notification is about: those for which each given part holds. Without any part, all. */
export type NotificationFor = {
  /** The id of an image, or its name with or without tag. */
  image?: string | null;
  /** The name of a playbook. */
  playbook?: string | null;
  /** The name of a schedule. */
  schedule?: string | null;
  /** The address of the user who started them. */
  user?: string | null;
};

/** The state of a notification. */
export type NotificationState = "pending" | "active" | "paused";

/** A page of notifications. */
export type Notifications = {
  notifications: Notification[];
};

/** Notifications, and what is kept of them in SSM and SNS. */
export type NotificationsStatus = {
  /** Notifications whose key or topic is gone. */
  incomplete_notifications: string[];
  /** Keys of notifications that do not exist, which were deleted. */
  orphaned_keys_deleted: number;
  total_notifications: number;
  verified_count: number;
};

/** The fate of a run that cannot start at once, because a lock is held or there is no capacity. */
export type OnConflict = "refuse" | "queue";

/** The fate of a time whose run could not start for ten minutes. */
export type OnMissed = "skip" | "run_once";

/** One name, or a list of names. */
export type OneOrMore = string | string[];

/** The result of an action. */
export type Outcome = "done" | "refused" | "failed";

/** The owners of a resource. */
export type Owners = {
  owned_by: Email[];
};

/** A parameter of a playbook. The command gets its value in the environment variable of its name. */
export type Parameter = {
  /** The only values that are taken, of any type but `boolean`. */
  allowed?: string[];
  /** The value for callers who give none. Those of `choices` are separated by commas. */
  default?: string | null;
  description?: string;
  /** The name for people; `name` if absent. */
  label?: string | null;
  max_length?: number | null;
  /** Characters of a `string` or `text`. */
  min_length?: number | null;
  name: string;
  /** A regular expression that the whole value of a `string` or `text` matches. */
  pattern?: string | null;
  /** Refuses a run without a value; `true` if absent, unless there is a default. A value that is not required is empty. */
  required?: boolean | null;
  type?: ParameterType;
};

/** The kind of a parameter's values. */
export type ParameterType = "string" | "text" | "number" | "boolean" | "choice" | "choices" | "date";

/** Commands with what they need, and the parameters that callers fill in. */
export type Playbook = {
  approvals?: Approvals | null;
  /** Run one after the other by one shell, which ends at the first that fails. */
  commands: string[];
  /** CPU units of each run; 1024 make one virtual CPU. The image's if absent. */
  cpu?: number | null;
  deadline?: Span | null;
  description?: string;
  /** GiB of disk, 21 to 200. If absent, the 20 that each task has. */
  disk?: number | null;
  /** Environment variables of each run. */
  env?: Record<string, string>;
  git_path?: string | null;
  git_ref?: string | null;
  git_repo?: string | null;
  /** An image id or name; the default image if absent. */
  image?: string | null;
  /** A lock that each run holds until it ends, or a list of them. The text of one is taken, too. */
  lock?: OneOrMore;
  /** MiB of memory of each run. The image's if absent. */
  memory?: number | null;
  /** The notifications that are told of each run of the published playbook. */
  notifications?: PlaybookNotification[];
  on_conflict?: OnConflict | null;
  parameters?: Parameter[];
  retry?: Retry | null;
  /** The schedules that run the published playbook. They are made, changed and deleted with it. */
  schedules?: PlaybookSchedule[];
  /** Names of secrets, which the command gets in their variables. */
  secrets?: string[];
  /** The number of runs that may hold the lock at the same time; 1 by default. */
  slots?: number | null;
  /** Runs on Fargate Spot, which costs about a third and may be taken away at any time. */
  spot?: boolean;
  timeout?: Span | null;
};

/** One playbook. */
export type PlaybookAnswer = {
  playbook: PublishedPlaybook;
  /** The result of a publication for each schedule that the playbook has or had. */
  schedules?: BroughtSchedule[];
};

/** A notification that is told of the runs of a playbook, besides those that it is about by itself. */
export type PlaybookNotification = {
  /** The name of a notification that exists. Its receiver is not part of the playbook. */
  name: string;
  /** `failed` and `recovered` if absent. */
  on?: NotificationEvent[];
};

/** A schedule that runs the playbook. It has one of `cron`, `rate` and `at`. */
export type PlaybookSchedule = {
  /** One time on the clock of the zone, such as `2027-01-31T09:00`. */
  at?: string | null;
  cron?: string | null;
  /** The schedule's name. If absent, that of the playbook, with a number from the second schedule on. */
  name?: string | null;
  on_missed?: OnMissed | null;
  /** Values by the names of parameters, as texts. */
  parameters?: Record<string, string>;
  /** Such as `5 minutes`. The first time is when the schedule is made or changed. */
  rate?: string | null;
  /** Of the IANA database; UTC if absent. */
  timezone?: string | null;
};

/** A playbook in the list of all. */
export type PlaybookSummary = PlaybookVersion & ({
  created_by: Email;
  description?: string;
  name: string;
  owned_by: Email[];
  shared_with?: string[] | null;
});

/** A version of a playbook: who published it, and when. */
export type PlaybookVersion = {
  published_at: string;
  /** The user with whose rights its runs use the image and the secrets. */
  published_by: Email;
  /** Counts from 1. */
  version: number;
};

/** The versions of a playbook, newest first. */
export type PlaybookVersions = {
  versions: PlaybookVersion[];
};

/** The playbooks that the caller may see. */
export type Playbooks = {
  playbooks: PlaybookSummary[];
};

/** A playbook as the API shows it. */
export type PublishedPlaybook = PlaybookVersion & Playbook & ({
  created_at: string;
  created_by: Email;
  created_by_request_id: string;
  modified_by_request_id: string;
  name: string;
  owned_by: Email[];
  /** Users and roles (`role:runner`) that may see and run it. If absent, everyone whose role allows it, which the role runner does not. */
  shared_with?: string[] | null;
});

/** The answer to `POST /health/reconcile`. */
export type Reconciled = {
  report: Report;
  status: string;
};

/** An image to be registered. */
export type RegisterImage = {
  /** CPU units; 1024 make one virtual CPU. 256 if absent or 0. */
  cpu?: number | null;
  /** As `docker pull` takes it. */
  image: string;
  is_default?: boolean | null;
  /** MiB; 512 if absent or 0. */
  memory?: number | null;
  /** `Linux/ARM64`, the default, or `Linux/X86_64`. */
  runtime_platform?: string | null;
  /** Security groups of its tasks in place of the stack's, of those that the stack's parameter `ImageSecurityGroupIds` names. */
  security_groups?: string[] | null;
  task_execution_role_name?: string | null;
  task_role_name?: string | null;
};

/** The resources that the request created or changed, in their present state. */
export type RelatedResources = {
  executions?: Execution[];
  images?: Image[];
  secrets?: Secret[];
  users?: User[];
};

/** A new claim of a user who has lost their key. */
export type RenewedClaim = {
  /** For `GET /api/v1/claim/{token}`: works once, within 15 minutes. */
  claim_token: string;
  /** The page on which the user claims the key, by the press of a button. */
  claim_url: string;
};

/** The report of a reconcile: what was checked, found and mended. */
export type Report = {
  authorizer_status: AuthorizerStatus;
  compute_status: ComputeStatus;
  /** The number of things that could not be checked or mended. */
  error_count: number;
  identity_status: IdentityStatus;
  issues: Issue[];
  notifications_status?: NotificationsStatus;
  /** The number of things that were mended. */
  reconciled_count: number;
  schedules_status: SchedulesStatus;
  secrets_status: SecretsStatus;
  timestamp: string;
};

/** Lets a run be attempted again when an attempt ends as `on` says. Each attempt is a task of the same execution, and the last one decides how the execution ends. */
export type Retry = {
  /** The number of attempts, the first one included. */
  attempts: number;
  /** Seconds from the end of an attempt until the next one; 30 by default. A duration such as `5m` is taken, too. */
  backoff?: number | null;
  /** The ends after which another attempt follows. If absent, all of them; a run with `"on_conflict": "queue"` waits for capacity instead. */
  on?: RetryOn[];
};

/** An end of an attempt after which another may follow. */
export type RetryOn = "capacity" | "spot" | "start" | "exit";

/** A user to be revoked. */
export type RevokeUser = {
  email: string;
};

/** The user whose keys no longer work. */
export type RevokedUser = {
  email: Email;
  message: string;
};

/** The role of a user, by which `policies.cedar` decides. */
export type Role = "admin" | "operator" | "developer" | "runner" | "viewer";

/** A new signing key. */
export type RotatedNotification = {
  /** The time until which webhooks have a signature by the key before it, too. */
  previous_until: string;
  /** No other answer has it. */
  signing_secret: string;
};

/** A run that is asked for. */
export type Run = {
  /** Ids of executions that must have ended before the run starts. It waits for them as `QUEUED`, and has `FAILED` if one of them ends otherwise than `if` says. */
  after?: string[] | null;
  /** The script that `/bin/sh -e` runs. Not blank. */
  command: string;
  /** CPU units of this run; 1024 make one virtual CPU. The image's if absent. Fargate has some pairs of CPU and memory only. */
  cpu?: number | null;
  /** Seconds after this request within which the run must have ended, waiting included. It is stopped then, or does not start. */
  deadline?: number | null;
  /** GiB of disk, 21 to 200. If absent, the 20 that each task has. */
  disk?: number | null;
  /** Environment variables; they win over secrets of the same name. */
  env?: Record<string, string> | null;
  /** Directory of the repository in which the command runs. */
  git_path?: string | null;
  /** Branch, tag or commit. By default, the one that the repository's HEAD names. */
  git_ref?: string | null;
  /** A repository to clone first; the command runs inside it. */
  git_repo?: string | null;
  if?: RunIf | null;
  /** An image id, or a name with or without tag and registry. The default image if absent. */
  image?: string | null;
  /** The same as `image`. */
  imageUri?: string | null;
  lock?: OneOrMore | null;
  /** MiB of memory of this run. The image's if absent. */
  memory?: number | null;
  on_conflict?: OnConflict | null;
  retry?: Retry | null;
  /** Names of secrets. The value of each is in the variable that its `key_name` names. */
  secrets?: string[] | null;
  /** The number of runs that may hold the lock at the same time; 1 by default. The first run with a lock sets it, and a different number later is a conflict. */
  slots?: number | null;
  /** Runs on Fargate Spot, which costs about a third and may be taken away at any time. */
  spot?: boolean | null;
  /** Seconds after which the command is stopped. */
  timeout?: number | null;
};

/** The end that other executions must have come to, so that a run which waits for them starts. */
export type RunIf = "succeeded" | "ended";

/** A run of a playbook. */
export type RunPlaybook = {
  /** Values by the names of parameters: texts, numbers, booleans, and lists of texts for several choices. */
  parameters?: Record<string, unknown>;
  /** The newest if absent. */
  version?: number | null;
};

/** A schedule as the API shows it. It has one of `cron`, `rate` and `at`. */
export type Schedule = {
  /** One time on the clock of the zone, such as `2027-01-31T09:00`. */
  at?: string | null;
  created_at: string;
  created_by: Email;
  created_by_request_id: string;
  /** Five fields as in crontab, or six as in AWS. */
  cron?: string | null;
  /** `false` while it is paused. */
  enabled: boolean;
  last_execution_id?: string | null;
  last_status?: Status | null;
  modified_by_request_id: string;
  name: string;
  /** The next time, unless it is paused or over. */
  next_at?: string | null;
  /** The published playbook that the schedule is a part of. Only a publication changes its times, and what it runs. */
  of_playbook?: string | null;
  on_missed: OnMissed;
  owned_by: Email[];
  /** Why it is paused, if nobody has paused it. */
  paused_reason?: string | null;
  playbook?: ScheduledPlaybook | null;
  /** Such as `5 minutes`. The first time is when the schedule is made, changed or resumed. */
  rate?: string | null;
  /** The results of its last times, the newest first. */
  recent?: ScheduledTime[];
  run?: ScheduledRun | null;
  /** The user whose rights its runs have: who has said last what it runs. */
  runs_as: Email;
  /** Users and roles (`role:developer`) that may see and run it, besides its owners, operators and admins. */
  shared_with?: string[] | null;
  /** Of the IANA database. */
  timezone: string;
  updated_at: string;
  updated_by: Email;
};

/** One schedule. */
export type ScheduleAnswer = {
  schedule: Schedule;
};

/** The change that a publication made to a schedule. */
export type ScheduleOutcome = "created" | "changed" | "kept" | "deleted";

/** The published playbook that a schedule runs, with the right of the schedule's user to run it. */
export type ScheduledPlaybook = {
  name: string;
  /** Values by the names of parameters. */
  parameters?: Record<string, unknown>;
  /** The newest at each time if absent. */
  version?: number | null;
};

/** The run of a schedule, as `POST /run` takes it. Its values are kept in the schedule. */
export type ScheduledRun = {
  /** The script that `/bin/sh -e` runs. Not blank. */
  command: string;
  /** CPU units; those of the image if absent. */
  cpu?: number | null;
  /** Seconds after the schedule's time within which the run must have ended, waiting included. */
  deadline?: number | null;
  /** GiB of the task's disk. */
  disk?: number | null;
  env?: Record<string, string>;
  git_path?: string | null;
  git_ref?: string | null;
  git_repo?: string | null;
  /** An image id, or a name with or without tag and registry. The default image if absent. */
  image?: string | null;
  /** A lock that the run holds until it ends, or several: a run that waits takes one after the other, in the order of their names. */
  lock?: OneOrMore;
  /** MiB; that of the image if absent. */
  memory?: number | null;
  on_conflict?: OnConflict | null;
  retry?: Retry | null;
  /** Names of secrets. */
  secrets?: string[];
  /** The number of runs that may hold the lock at the same time. */
  slots?: number | null;
  /** Runs on Fargate Spot. */
  spot?: boolean;
  /** Seconds after which the command is stopped. */
  timeout?: number | null;
};

/** A time of a schedule that has come. */
export type ScheduledTime = {
  /** Absent for a time at which nothing ran. */
  execution_id?: string | null;
  /** Why nothing ran. */
  reason?: string | null;
  scheduled_at: string;
  status?: Status | null;
};

/** A page of schedules. */
export type Schedules = {
  schedules: Schedule[];
};

/** Schedules, and their times in EventBridge Scheduler. */
export type SchedulesStatus = {
  /** Schedules of the stack's group that belong to no record. */
  orphaned_schedules: string[];
  total_schedules: number;
  verified_count: number;
};

/** A secret as the API shows it. Only the route that shows one secret fills in the value. */
export type Secret = {
  created_at: string;
  created_by: Email;
  created_by_request_id: string;
  description?: string | null;
  /** The environment variable that holds the value in a run. */
  key_name: string;
  modified_by_request_id: string;
  name: string;
  owned_by: Email[];
  /** Users and roles (`role:developer`) that may use it; everyone whose role allows it if absent. */
  shared_with?: string[] | null;
  updated_at: string;
  updated_by: Email;
  value?: string | null;
};

/** One secret, with its value. */
export type SecretAnswer = {
  secret: Secret;
};

/** A page of secrets, without values. */
export type Secrets = {
  secrets: Secret[];
  /** Of all secrets, those of other pages included. */
  total: number;
};

/** Values of secrets. */
export type SecretsStatus = {
  missing_count: number;
  orphaned_count: number;
  /** Parameters that belong to no secret. */
  orphaned_parameters: string[];
  tag_updated_count: number;
  total_secrets: number;
  verified_count: number;
};

/** A change of a lock. What is absent stays as it is. */
export type SetLock = {
  /** The largest number of executions that may wait for it; 0 for no limit. One that has got other locks before waits beyond it. */
  max_queue?: number | null;
  paused?: boolean | null;
  /** The number of executions that may hold it at the same time. */
  slots?: number | null;
};

/** The owners that a resource is to have. */
export type SetOwners = {
  /** E-mail addresses, at least one. */
  owned_by: string[];
};

/** Who is to be able to use a resource. The field must be there, so that a body that lacks it shares nothing. */
export type SetSharing = {
  /** E-mail addresses, and roles as `role:developer`. `null` shares with everyone whose role allows it; a schedule is then shared with nobody. */
  shared_with: string[] | null;
};

export type Severity = "info" | "warning" | "error";

/** Who may use a resource, besides owners, operators and admins. */
export type Sharing = {
  shared_with?: string[] | null;
};

export type Span = string | number;

/** A run that was started, or that waits. */
export type Started = {
  command: string;
  execution_id: string;
  image_id: string;
  /** The page on which a person reads the log. */
  log_url: string;
  /** The place in the line of the lock that the run waits for, counted from 1. */
  queue_position?: number | null;
  status: Status;
  /** The WebSocket on which a program follows the log. Works for 24 hours. */
  websocket_url: string;
};

/** The state of an execution. */
export type Status = "WAITING" | "QUEUED" | "STARTING" | "RUNNING" | "TERMINATING" | "SUCCEEDED" | "FAILED" | "STOPPED";

/** A test that is on its way. */
export type TestedNotification = {
  /** The id of its delivery. */
  id: string;
  message: string;
};

/** Seconds that an execution has spent in each part of its life. A part is there once it is over. */
export type Timing = {
  /** Fargate takes the machine and the network back. */
  ending?: number | null;
  /** Fargate finds a machine and attaches the network. */
  provisioning?: number | null;
  /** The images are pulled. */
  pulling?: number | null;
  /** From the request until ECS has accepted the task. */
  queued?: number | null;
  running?: number | null;
  /** The containers start; a repository is cloned. */
  starting?: number | null;
};

/** The log lines of a request, and what it created or changed. */
export type Trace = {
  /** There are more lines than an answer takes, so some are left out. */
  is_cut?: boolean;
  /** Sorted by time. */
  logs: LogEvent[];
  related_resources: RelatedResources;
  /** The time from which on lines were searched, when the search of older ones would have taken too long. */
  searched_since?: string | null;
};

/** Changes to a notification. What is absent stays as it is. */
export type UpdateNotification = {
  channel?: Channel | null;
  for?: NotificationFor | null;
  on?: NotificationEvent[] | null;
  /** 0 goes back to twice the usual time. */
  slow_after?: number | null;
  state?: NotificationState | null;
};

/** A change of a schedule. An absent field stays as it is. */
export type UpdateSchedule = {
  at?: string | null;
  /** Replaces `rate` or `at` too. */
  cron?: string | null;
  /** `false` pauses the schedule, `true` resumes it. */
  enabled?: boolean | null;
  on_missed?: OnMissed | null;
  playbook?: ScheduledPlaybook | null;
  rate?: string | null;
  run?: ScheduledRun | null;
  timezone?: string | null;
};

/** A change of a secret. An absent field stays as it is. */
export type UpdateSecret = {
  description?: string | null;
  key_name?: string | null;
  /** Empty means the same as absent. */
  value?: string | null;
};

/** A change of a user. An absent field stays as it is. */
export type UpdateUser = {
  /** `true` revokes the user, and `false` lets a revoked user in again, with the keys of before. */
  revoked?: boolean | null;
  /** admin, operator, developer or viewer. */
  role?: string | null;
};

/** A user after a change. */
export type UpdatedUser = {
  user: User;
};

/** A user as the API shows one. It has no key. */
export type User = {
  created_at: string;
  created_by_request_id: string;
  email: Email;
  last_used?: string | null;
  modified_by_request_id: string;
  revoked: boolean;
  role: Role;
};

/** A page of users. */
export type Users = {
  users: ListedUser[];
};
