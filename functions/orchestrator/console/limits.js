/** Limits of the API. Written by .ci/console-types from docs/openapi.json. */

export const MAX_OVERRIDES_CHARACTERS = 8192;

export const OWN_OVERRIDES_CHARACTERS = 290;

export const MAX_TIMEOUT_SECONDS = 604800;

export const MAX_SECRET_BYTES = 4096;

export const MAX_DESCRIPTION_BYTES = 1024;

export const MAX_SECRETS_OF_A_RUN = 50;

export const DEFAULT_CPU = 256;

export const DEFAULT_MEMORY = 512;

export const FARGATE_SIZES = [{"cpu": 256, "memory": [512, 1024, 2048]}, {"cpu": 512, "memory": [1024, 2048, 3072, 4096]}, {"cpu": 1024, "memory": [2048, 3072, 4096, 5120, 6144, 7168, 8192]}, {"cpu": 2048, "memory": [4096, 5120, 6144, 7168, 8192, 9216, 10240, 11264, 12288, 13312, 14336, 15360, 16384]}, {"cpu": 4096, "memory": [8192, 9216, 10240, 11264, 12288, 13312, 14336, 15360, 16384, 17408, 18432, 19456, 20480, 21504, 22528, 23552, 24576, 25600, 26624, 27648, 28672, 29696, 30720]}, {"cpu": 8192, "memory": [16384, 20480, 24576, 28672, 32768, 36864, 40960, 45056, 49152, 53248, 57344, 61440]}, {"cpu": 16384, "memory": [32768, 40960, 49152, 57344, 65536, 73728, 81920, 90112, 98304, 106496, 114688, 122880]}];
